//! What right configurations mean.
use super::right;
use crate::config::{
    Address, ConfigError, FileSet, LogFormat, LogLevel, Reaction, Settings, SignalTarget, SourceSettings,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn an_empty_file_means_the_defaults() {
    for text in [
        "",
        "# nothing yet\n",
        "---\n",
        "{}",
        "\u{feff}",
        "null",
        "identity: {}\napi: { admin: {} }\nlog: {}\n",
    ] {
        assert_eq!(right(text), Settings::default(), "{text:?}");
    }
    let settings = Settings::default();
    assert_eq!(settings.identity.source, SourceSettings::Auto);
    assert_eq!(settings.runtime_dir, Path::new("/run/mwid"));
    let [publish] = settings.publish.as_slice() else {
        panic!("{settings:?}")
    };
    assert_eq!(publish.directory, Path::new("/run/mwid/identity"));
    assert_eq!(
        publish.files,
        [FileSet::Gce, FileSet::CredentialBundle, FileSet::SpiffeBundle]
    );
    assert_eq!(
        (publish.key_mode, publish.store_password.0.as_str()),
        (0o640, "changeit")
    );
    let socket = settings.admin.socket.unwrap();
    assert_eq!(
        (socket.path.as_path(), socket.mode),
        (Path::new("/run/mwid/admin.sock"), 0o660)
    );
    assert_eq!(
        (settings.log.level, settings.log.format),
        (LogLevel::Info, LogFormat::Auto)
    );
}

#[test]
fn a_metadata_server_is_the_platforms_unless_it_is_named() {
    for (text, address, poll) in [
        ("metadata", None, 60),
        ("{ metadata: {} }", None, 60),
        ("{ metadata: { poll: 5s } }", None, 5),
        (
            "{ metadata: { address: \"169.254.169.254:80\" } }",
            Some("169.254.169.254:80"),
            60,
        ),
        (
            "{ metadata: { address: \"[fd20:ce::254]:80\" } }",
            Some("[fd20:ce::254]:80"),
            60,
        ),
        (
            "{ metadata: { address: \"127.0.0.1:1\" } }",
            Some("127.0.0.1:1"),
            60,
        ),
    ] {
        assert_eq!(
            right(&format!("identity: {{ source: {text} }}")).identity.source,
            SourceSettings::Metadata {
                address: address.map(|a| a.parse().unwrap()),
                poll: Duration::from_secs(poll)
            },
            "{text}"
        );
    }
}

#[test]
fn the_grpc_service_has_its_own_name() {
    for (text, address) in [
        ("metadata_grpc", None),
        (
            "{ metadata_grpc: { address: \"169.254.169.254:8083\" } }",
            Some("169.254.169.254:8083"),
        ),
    ] {
        assert_eq!(
            right(&format!("identity: {{ source: {text} }}")).identity.source,
            SourceSettings::MetadataGrpc {
                address: address.map(|a| a.parse().unwrap()),
                poll: Duration::from_secs(60)
            },
            "{text}"
        );
    }
}

const EVERY_KEY: &str = "identity:
  source: { guest_agent: { directory: /srv/in, poll: 1m } }
  expect: spiffe://example.org/ns/*/sa/**
runtime_dir: /srv/mwid/
publish:
  - directory: /srv/out
    files: [haproxy, jks, pkcs12]
    owner: 0
    group: ssl-cert
    key_mode: \"0440\"
    store_password: \"0x10\"
    then:
      - { reload: nginx.service }
      - { signal: HUP, of: haproxy@a.service }
      - { signal: SIGUSR1, of: /run/x.pid }
      - { run: [/bin/echo, a b], timeout: 2s }
      - { run: [/bin/echo] }
  - unsafe_key_mode: \"0644\"
api:
  admin:
    socket: sub/a.sock
    mode: \"600\"
    owner: me
    group: 7
    listen: [\"127.0.0.1:1\", \"[::1]:2\", \"unix:b.sock\", \"systemd:metrics\"]
log: { level: debug, format: json }
";

#[test]
fn every_key_of_identity_api_and_log_arrives() {
    let settings = right(EVERY_KEY);
    assert_eq!(
        settings.identity.source,
        SourceSettings::GuestAgent {
            directory: "/srv/in".into(),
            poll: Duration::from_secs(60)
        }
    );
    assert_eq!(
        settings.identity.expect.unwrap().as_str(),
        "spiffe://example.org/ns/*/sa/**"
    );
    let socket = settings.admin.socket.unwrap();
    assert_eq!(
        (socket.path, socket.mode),
        (PathBuf::from("/srv/mwid/sub/a.sock"), 0o600)
    );
    assert_eq!(
        (socket.owner.as_deref(), socket.group.as_deref()),
        (Some("me"), Some("7"))
    );
    assert_eq!(
        settings.admin.listen,
        [
            Address::Tcp("127.0.0.1:1".parse().unwrap()),
            Address::Tcp("[::1]:2".parse().unwrap()),
            Address::Unix("/srv/mwid/b.sock".into()),
            Address::Systemd("metrics".to_owned()),
        ]
    );
    assert_eq!(
        (settings.log.level, settings.log.format),
        (LogLevel::Debug, LogFormat::Json)
    );
}

#[test]
fn every_key_of_publish_arrives() {
    let settings = right(EVERY_KEY);
    let [one, two] = settings.publish.as_slice() else {
        panic!("{settings:?}")
    };
    assert_eq!(one.directory, Path::new("/srv/out"));
    assert_eq!(one.files, [FileSet::Haproxy, FileSet::Jks, FileSet::Pkcs12]);
    assert_eq!(
        (one.owner.as_deref(), one.group.as_deref(), one.key_mode),
        (Some("0"), Some("ssl-cert"), 0o440)
    );
    assert_eq!(one.store_password.0.as_str(), "0x10");
    let run = |words: &[&str], seconds| Reaction::Run {
        command: words.iter().map(|w| (*w).to_owned()).collect(),
        timeout: Duration::from_secs(seconds),
    };
    let signal = |signal: &str, of| Reaction::Signal {
        signal: signal.to_owned(),
        of,
    };
    assert_eq!(
        one.then,
        [
            Reaction::Reload {
                unit: "nginx.service".to_owned()
            },
            signal("SIGHUP", SignalTarget::Unit("haproxy@a.service".to_owned())),
            signal("SIGUSR1", SignalTarget::PidFile("/run/x.pid".into())),
            run(&["/bin/echo", "a b"], 2),
            run(&["/bin/echo"], 10),
        ]
    );
    assert_eq!(
        (two.directory.as_path(), two.key_mode),
        (Path::new("/srv/mwid/identity"), 0o644)
    );
}

#[test]
fn short_forms_mean_the_same_as_long_ones() {
    for (short, long) in [
        (
            "identity: { source: guest_agent }",
            "identity: { source: { guest_agent: {} } }",
        ),
        (
            "identity: { source: dev_ca }",
            "identity: { source: { dev_ca: { trust_domain: dev.internal, lifetime: 1h } } }",
        ),
        (
            "api: { admin: { listen: \"127.0.0.1:1\" } }",
            "api: { admin: { listen: [\"127.0.0.1:1\"] } }",
        ),
        (
            "api: { admin: { listen: off } }",
            "api: { admin: { listen: [] } }",
        ),
        (
            "api: { admin: { socket: off } }",
            "api: { admin: { socket: false } }",
        ),
        // An unquoted 0640 is text to this YAML reader (YAML 1.2) and means what everybody means by it.
        (
            "publish: [{ key_mode: 0600 }]",
            "publish: [{ key_mode: \"0600\" }]",
        ),
    ] {
        assert_eq!(right(short), right(long), "{short}");
    }
    assert_eq!(right("api: { admin: { socket: off } }").admin.socket, None);
    assert_eq!(right("publish: []").publish, []);
}

#[test]
fn an_unsafe_word_opens_what_is_closed() {
    let settings = right("api: { admin: { listen: \"0.0.0.0:9090\", unsafe_listen: true } }");
    assert_eq!(
        settings.admin.listen,
        [Address::Tcp("0.0.0.0:9090".parse().unwrap())]
    );
    assert!(super::parse("api: { admin: { listen: \"0.0.0.0:9090\", unsafe_listen: false } }").is_err());
}

#[test]
fn the_development_platform_keeps_to_its_directory_and_keys_of_a_file_win() {
    let dir = Path::new("/tmp/dev");
    let dev = Settings::dev(dir);
    assert!(matches!(dev.identity.source, SourceSettings::DevCa { .. }));
    assert_eq!(dev.publish[0].directory, dir.join("identity"));
    assert!(dev.publish[0].files.contains(&FileSet::Haproxy));
    assert_eq!(dev.admin.socket.as_ref().unwrap().path, dir.join("admin.sock"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "log: { level: debug }\npublish: [{ files: [gce] }]\n",
    )
    .unwrap();
    let mixed = crate::config::load_dev(file.path(), dir).unwrap();
    assert_eq!(mixed.identity, dev.identity);
    assert_eq!(mixed.log.level, LogLevel::Debug);
    assert_eq!(
        (
            mixed.publish[0].directory.clone(),
            mixed.publish[0].files.as_slice()
        ),
        (dir.join("identity"), [FileSet::Gce].as_slice())
    );

    std::fs::write(file.path(), "runtime_dir: /tmp/own\nidentity: { source: none }\n").unwrap();
    let mixed = crate::config::load_dev(file.path(), dir).unwrap();
    assert_eq!(mixed.identity.source, SourceSettings::None);
    assert_eq!(mixed.publish[0].directory, Path::new("/tmp/own/identity"));
    let missing: Result<_, ConfigError> = crate::config::load_dev(Path::new("/nowhere/x"), dir);
    assert!(missing.is_err());
}
