//! Whole checks of a source directory, by the time and by what is in it.
use super::*;
use crate::config::SourceSettings;
use std::fs::{Permissions, create_dir, remove_file, set_permissions, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;
use testkit::pki::{LeafSpec, Validity, World};

const TD: &str = "pool.global.1.workload.id.goog";
const HOUR: Duration = Duration::from_secs(3600);

struct Place {
    dir: tempfile::TempDir,
    settings: Settings,
    server: Server,
}

/// A place where nobody listens.
fn nobody() -> Server {
    let address = testkit::metadata::Server::start().address();
    Server {
        http: address,
        grpc: address,
        expected: true,
    }
}

fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kit's certificates are made for now"
    )]
    SystemTime::now()
}

/// A source directory with an identity of `world`, and settings that read it.
fn place(leaf: &testkit::pki::Leaf, root_pem: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    create_dir(&source).unwrap();
    write(source.join("certificates.pem"), &leaf.chain_pem).unwrap();
    write(source.join("private_key.pem"), &leaf.key_pem).unwrap();
    write(source.join("ca_certificates.pem"), root_pem).unwrap();
    set_permissions(source.join("private_key.pem"), Permissions::from_mode(0o600)).unwrap();
    let mut settings = Settings::in_runtime_dir(&dir.path().join("run"));
    // The usual port is a real daemon's.
    settings.metadata.listen.clear();
    settings.access = vec![config::AccessRule {
        who: config::Who::Caller(Box::default()),
        may: config::May {
            identity: true,
            ..Default::default()
        },
    }];
    settings.identity.source = SourceSettings::GuestAgent {
        directory: source,
        poll: Duration::from_secs(30),
    };
    Place {
        dir,
        settings,
        server: nobody(),
    }
}

fn good() -> Place {
    let world = World::new(TD);
    place(&world.leaf("/ns/a/sa/b"), &world.root.cert_pem)
}

impl Place {
    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn found(&self, now: SystemTime) -> Vec<Finding> {
        let looker = Looker {
            uid: nix::unistd::Uid::from_raw(1),
            environment: crate::tokens::Environment::default(),
            ..Looker::me()
        };
        probe(&self.settings, now, &looker, self.server)
    }

    fn ids(&self, now: SystemTime) -> Vec<&'static str> {
        self.found(now).iter().map(|finding| finding.id).collect()
    }
}

#[test]
fn a_sound_machine_has_no_findings() {
    assert_eq!(good().found(now()), []);
    let mut without = good();
    without.settings.identity.source = SourceSettings::None;
    std::fs::remove_dir_all(without.source()).unwrap();
    assert_eq!(without.found(now()), []);
}

#[test]
fn a_source_that_is_absent_or_half_filled_is_found() {
    let place = good();
    remove_file(place.source().join("private_key.pem")).unwrap();
    assert_eq!(place.ids(now()), ["source_incomplete"]);
    write(place.source().join("private_key.pem"), "").unwrap();
    set_permissions(
        place.source().join("private_key.pem"),
        Permissions::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(place.ids(now()), ["source_incomplete"]);
    std::fs::remove_dir_all(place.source()).unwrap();
    assert_eq!(place.ids(now()), ["source_absent"]);
    symlink("gone", place.source()).unwrap();
    assert_eq!(place.ids(now()), ["source_absent"]);
}

#[test]
fn a_chain_to_no_root_is_found() {
    let world = World::new(TD);
    // A root of another name, and one of the same name with another key.
    for other in [World::new("other.example"), World::new(TD)] {
        let place = place(&world.leaf("/ns/a/sa/b"), &other.root.cert_pem);
        assert_eq!(place.ids(now()), ["chain_to_no_root"]);
    }
}

#[test]
fn an_identity_unlike_the_expected_is_found() {
    let mut place = good();
    for (pattern, found) in [
        (format!("spiffe://{TD}/ns/*/sa/**"), &[][..]),
        ("spiffe://other.example/**".to_owned(), &["unexpected_id"][..]),
    ] {
        place.settings.identity.expect = Some(mtls_identity::IdPattern::parse(&pattern).unwrap());
        assert_eq!(place.ids(now()), found, "{pattern}");
    }
}

#[test]
fn a_certificate_close_to_or_past_its_end_is_found() {
    let world = World::new(TD);
    let mut spec = LeafSpec::new(&format!("spiffe://{TD}/ns/a/sa/b"));
    spec.validity = Validity {
        from: -12 * 3600,
        to: 12 * 3600,
    };
    let place = place(&world.leaf_of(&spec), &world.root.cert_pem);
    assert_eq!(place.ids(now()), [] as [&str; 0]);
    assert_eq!(place.ids(now() + 5 * HOUR), [] as [&str; 0], "7 of 24 hours left");
    assert_eq!(
        place.ids(now() + 7 * HOUR),
        ["close_to_expiry"],
        "5 of 24 hours left"
    );
    assert_eq!(place.ids(now() + 13 * HOUR), ["expired"]);
}

#[test]
fn a_wrong_clock_is_found() {
    let place = good();
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    let found = place.found(far);
    assert!(
        found
            .iter()
            .any(|f| f.id == "clock_wrong" && f.what.contains("1970-01-01T01:00:00Z")),
        "{found:?}"
    );
    let ids = place.ids(now() - 2 * HOUR);
    assert!(
        ids.contains(&"clock_wrong_or_certificate_of_the_future"),
        "{ids:?}"
    );
    assert!(
        ids.contains(&"clock_wrong"),
        "the files were written in the future: {ids:?}"
    );
}

#[test]
fn a_wrong_configuration_is_one_finding_a_problem() {
    let text = "log: { level: loud }\nruntime_dir: x\n";
    let error = config::parse(text, Path::new("f.yaml")).unwrap_err();
    let found = settings::refused(&error);
    assert_eq!(found.len(), 2);
    assert!(
        found[0]
            .what
            .starts_with("f.yaml:1:15: log.level: found \"loud\"; wanted one of error,"),
        "{found:?}"
    );
    assert_eq!(found[1].fix, "write it in full, from /");
}

#[test]
fn what_is_allowed_but_dangerous_is_found() {
    let text = "identity: { source: dev_ca }\npublish: [{ unsafe_key_mode: \"0644\" }]\n\
                tokens: { source: dev }\n\
                api: { admin: { mode: \"0666\", listen: \"0.0.0.0:0\", unsafe_listen: true },\n\
                metadata: { listen: \"0.0.0.0:0\", unsafe_listen: true } }\n";
    let place = good();
    let settings = Settings {
        runtime_dir: place.dir.path().join("run"),
        ..config::parse(text, Path::new("f.yaml")).unwrap()
    };
    let found = settings::probe(&Scene {
        settings: &settings,
        now: now(),
        looker: &Looker::me(),
        server: place.server,
        daemon_runs: false,
    });
    let ids: Vec<_> = found.iter().map(|f| (f.id, f.severity)).collect();
    let warning = |id| (id, Severity::Warning);
    assert_eq!(
        ids,
        [
            warning("dev_ca"),
            warning("dev_tokens"),
            warning("unsafe_key_mode"),
            warning("admin_socket_open"),
            warning("unsafe_listen"),
            warning("unsafe_listen")
        ]
    );
}

#[test]
fn each_trouble_of_a_metadata_server_is_a_finding_of_its_own() {
    use testkit::metadata::{Answer, Identity, Server as Fake};
    let mut place = good();
    place.settings.identity.source = SourceSettings::Metadata {
        address: None,
        poll: Duration::from_secs(60),
    };
    assert_eq!(place.ids(now()), ["source_unreachable"]);

    let fake = Fake::start();
    place.server.http = fake.address();
    let world = World::new(TD);
    let mut identity = Identity::of(&world, &world.leaf("/ns/a/sa/b"), "/ns/a/sa/b");
    for (answer, id) in [
        (Answer::status(404, "no such page"), "source_feature_off"),
        (Answer::status(412, ""), "source_not_issued"),
        (Answer::status(503, ""), "source_busy"),
        (Answer::json("{}").flavor(None), "source_not_metadata"),
        (Answer::json("{\"workloadCredentials\": 1}"), "source_broken"),
    ] {
        fake.refuse(&answer);
        assert_eq!(place.ids(now()), [id], "{answer:?}");
    }
    fake.feature_off();
    assert_eq!(place.ids(now()), ["source_feature_off"]);
    fake.deliver(&identity);
    assert_eq!(place.ids(now()), [""; 0]);
    identity.config_status = "{\"status\": \"DENIED\"}".to_owned();
    fake.deliver(&identity);
    assert_eq!(place.ids(now()), ["platform_reports_trouble"]);
    identity.anchors[0].1 = World::new(TD).root.cert_pem;
    identity.config_status = "{}".to_owned();
    fake.deliver(&identity);
    assert_eq!(place.ids(now()), ["chain_to_no_root"]);
    identity.credentials[0].key_pem.clear();
    fake.deliver(&identity);
    assert_eq!(place.ids(now()), ["source_key_withheld"]);
}

#[test]
fn auto_without_a_directory_takes_what_a_server_has_or_says_what_each_said() {
    use testkit::metadata::{Identity, Server as Fake};
    use testkit::metadata_grpc::{Said, Service};
    if Path::new(config::GUEST_AGENT_DIRECTORY).exists() {
        println!("skipped: this machine has the guest agent's directory");
        return;
    }
    let mut place = good();
    place.settings.identity.source = SourceSettings::Auto;
    let found = place.found(now());
    assert_eq!(place.ids(now()), ["source_absent"]);
    assert_eq!(
        found[0].what.matches("cannot reach the metadata server").count(),
        2
    );

    let world = World::new(TD);
    let leaf = world.leaf("/ns/a/sa/b");
    let fake = Fake::start();
    fake.deliver(&Identity::of(&world, &leaf, "/ns/a/sa/b"));
    place.server.http = fake.address();
    assert_eq!(place.ids(now()), [""; 0]);
    let asked = fake.asked().len();
    let service = Service::start(Said::identity(&world, &leaf));
    place.server.grpc = service.address();
    assert_eq!(place.ids(now()), [""; 0]);
    assert_eq!(fake.asked().len(), asked, "the first that has one is enough");
}

#[test]
fn the_named_file_is_judged_before_the_daemon_that_the_environment_names() {
    let env = || Some(OsString::from("/tmp/there"));
    let file = Judged::find(Some(Path::new("/a.yaml")), env());
    assert_eq!(file, Judged::File("/a.yaml".into()));
    let daemon = Judged::find(None, env());
    assert_eq!(daemon.load().unwrap().runtime_dir, Path::new("/tmp/there"));
    assert!(daemon.to_string().contains("/tmp/there"), "{daemon}");
    let empty = Judged::find(None, Some(OsString::new()));
    assert!(!matches!(empty, Judged::RuntimeDir(_)), "{empty}");
}

#[test]
fn a_named_source_of_tokens_is_asked_and_auto_is_not() {
    use crate::config::TokenSourceSettings as Tokens;
    use testkit::metadata::{Answer, Server as Fake};
    let mut place = good();
    assert_eq!(
        place.ids(now()),
        [""; 0],
        "auto waits until somebody wants a token"
    );
    place.server.expected = false;
    assert_eq!(place.ids(now()), ["tokens_absent"]);
    place.settings.tokens = Tokens::Metadata { address: None };
    assert_eq!(place.ids(now()), ["tokens_unreachable"]);
    let fake = Fake::start();
    place.settings.tokens = Tokens::Impersonate {
        email: "a@b.c".to_owned(),
        delegates: vec![],
        from: Box::new(Tokens::Metadata {
            address: Some(fake.address()),
        }),
        endpoint: None,
    };
    for (answer, ids) in [
        (Answer::status(404, "no such page"), &["no_service_account"][..]),
        (Answer::status(503, ""), &["tokens_busy"]),
        (Answer::status(403, ""), &["tokens_broken"]),
        (Answer::json("{}").flavor(None), &["tokens_not_metadata"]),
        (Answer::json("a@b.c"), &[]),
    ] {
        fake.set("instance/service-accounts/default/email", answer.clone());
        assert_eq!(place.ids(now()), ids, "{answer:?}");
    }
}

#[test]
fn credentials_are_judged_where_the_settings_or_the_environment_name_them() {
    use crate::config::TokenSourceSettings as Tokens;
    let mut place = good();
    let missing = place.dir.path().join("key.json");
    place.settings.tokens = Tokens::Adc {
        file: Some(missing.clone()),
    };
    assert_eq!(place.ids(now()), ["credentials_absent"]);
    place.settings.tokens = Tokens::Adc { file: None };
    let found = place.found(now());
    assert!(found[0].what.contains("names no file"), "{found:?}");
    for source in [Tokens::Adc { file: None }, Tokens::Auto] {
        place.settings.tokens = source;
        let looker = Looker {
            uid: nix::unistd::Uid::from_raw(1),
            environment: crate::tokens::Environment {
                credentials: Some(missing.clone()),
                ..Default::default()
            },
            ..Looker::me()
        };
        let found = probe(&place.settings, now(), &looker, place.server);
        assert_eq!(found[0].id, "credentials_absent", "{found:?}");
        assert!(found[0].why.contains("environment of this command"), "{found:?}");
    }
}
