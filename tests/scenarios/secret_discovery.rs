//! What Envoy gets, and what becomes of what it says.

use crate::daemon::{DOMAIN, Daemon, PATH, Place};
use crate::spiffe::{INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE};
use crate::user::{as_user, can_be_others};
use crate::xds::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use crate::xds::{Call, DELTA, Envoy, FETCH, Next, STREAM, core, rpc, tls};
use nix::sys::signal::Signal;
use prost::Message;
use std::path::PathBuf;
use std::time::Duration;
use testkit::pki::Leaf;
use tls::secret::Type;

/// Long enough for a message that should not come.
const A_WHILE: Duration = Duration::from_millis(300);
const NOT_FOUND: u16 = 5;
const ALICE: u32 = 45_011;

pub(crate) fn socket(place: &Place) -> PathBuf {
    place.path("run/workload.sock")
}

fn started(place: &mut Place) -> (Daemon, Leaf) {
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    (daemon, leaf)
}

pub(crate) fn asks(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(core::Node {
            id: "payments-envoy".to_owned(),
            ..Default::default()
        }),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// The answer to an answer.
fn acks(answer: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: None,
        version_info: answer.version_info.clone(),
        response_nonce: answer.nonce.clone(),
        ..asks(names)
    }
}

pub(crate) fn subscribes(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn secret(any: &prost_types::Any) -> tls::Secret {
    assert!(
        any.type_url
            .ends_with("/envoy.extensions.transport_sockets.tls.v3.Secret")
    );
    tls::Secret::decode(&*any.value).unwrap()
}

pub(crate) fn secrets(answer: &DiscoveryResponse) -> Vec<tls::Secret> {
    answer.resources.iter().map(secret).collect()
}

/// The chain of a secret with a certificate, and whether it is this leaf's with its key.
pub(crate) fn is_of(secret: &tls::Secret, leaf: &Leaf) -> bool {
    let Some(Type::TlsCertificate(certificate)) = &secret.r#type else {
        panic!("no certificate");
    };
    let bytes = |data: &Option<core::DataSource>| match &data.as_ref().unwrap().specifier {
        Some(core::data_source::Specifier::InlineBytes(bytes)) => bytes.clone(),
        None => vec![],
    };
    let key = bytes(&certificate.private_key);
    assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"));
    let chain = String::from_utf8(bytes(&certificate.certificate_chain)).unwrap();
    let lines = |pem: &str| pem.lines().map(str::trim).collect::<String>();
    lines(&chain) == lines(&leaf.chain_pem)
}

fn quiet<M: Message + Default>(call: &mut Call<'_>) -> bool {
    matches!(call.next_within::<M>(A_WHILE), Next::Nothing)
}

#[test]
fn envoy_gets_each_secret_by_its_name_and_each_rotation_once() {
    let mut place = Place::new();
    let (daemon, first) = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    let id = format!("spiffe://{DOMAIN}{PATH}");
    let names = [id.as_str(), "default", "ROOTCA"];
    let mut stream = envoy.call(STREAM, &asks(&names));
    let answer: DiscoveryResponse = stream.next().message();
    let got = secrets(&answer);
    let mut named: Vec<_> = got.iter().map(|secret| secret.name.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["ROOTCA", "default", &id]);
    for secret in got.iter().filter(|secret| secret.name != "ROOTCA") {
        assert!(is_of(secret, &first), "{}", secret.name);
    }
    stream.say(&acks(&answer, &names));
    let mut roots = envoy.call(STREAM, &asks(&["ROOTCA"]));
    let answer: DiscoveryResponse = roots.next().message();
    roots.say(&acks(&answer, &["ROOTCA"]));

    let second = place.deliver_good();
    let answer: DiscoveryResponse = stream.next().message();
    let own = secrets(&answer)
        .into_iter()
        .find(|secret| secret.name == "default");
    assert!(is_of(&own.unwrap(), &second));
    stream.say(&acks(&answer, &names));
    assert!(quiet::<DiscoveryResponse>(&mut stream), "told twice");
    assert!(
        quiet::<DiscoveryResponse>(&mut roots),
        "the same roots told again"
    );
    daemon.stop();
}

#[test]
fn increments_hold_what_changed() {
    let mut place = Place::new();
    let (daemon, _) = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    let mut stream = envoy.call(
        DELTA,
        &subscribes(&["default", "ROOTCA", "spiffe://unknown.example"]),
    );
    let answer: DeltaDiscoveryResponse = stream.next().message();
    let mut names: Vec<_> = answer
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["ROOTCA", "default"]);
    assert_eq!(answer.removed_resources, ["spiffe://unknown.example"]);
    let error = answer.resource_errors[0].error_detail.as_ref().unwrap();
    assert!(error.message.contains("not known here"), "{}", error.message);
    let second = place.deliver_good();
    let answer: DeltaDiscoveryResponse = stream.next().message();
    let [resource] = &answer.resources[..] else {
        panic!("{} resources", answer.resources.len());
    };
    assert_eq!(resource.name, "default");
    assert!(is_of(&secret(resource.resource.as_ref().unwrap()), &second));
    let shown = String::from_utf8(place.mwid(&["status"]).stdout).unwrap();
    assert!(
        shown.contains("unknown.example"),
        "who asked for what is not here: {shown}"
    );
    daemon.stop();
}

#[test]
fn an_envoy_that_comes_before_the_first_identity_waits_for_it() {
    let mut place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some());
    let envoy = Envoy::connect(&socket(&place));
    let mut fetch = envoy.call(FETCH, &asks(&["default"]));
    let Next::End(code, words) = fetch.next::<DiscoveryResponse>() else {
        panic!("an identity from nowhere");
    };
    assert!(
        code == UNAVAILABLE && words.contains("no identity yet"),
        "{code} {words}"
    );
    let mut stream = envoy.call(STREAM, &asks(&["default"]));
    let mut delta = envoy.call(DELTA, &subscribes(&["default"]));
    assert!(quiet::<DiscoveryResponse>(&mut stream));
    let leaf = place.deliver_good();
    assert!(is_of(&secrets(&stream.next().message())[0], &leaf));
    let answer: DeltaDiscoveryResponse = delta.next().message();
    assert!(is_of(
        &secret(answer.resources[0].resource.as_ref().unwrap()),
        &leaf
    ));
    let mut fetch = envoy.call(FETCH, &asks(&["default"]));
    assert!(is_of(&secrets(&fetch.next().message())[0], &leaf));
    daemon.stop();
}

#[test]
fn a_refused_secret_is_on_record_and_not_sent_again() {
    let mut place = Place::new();
    let (mut daemon, _) = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    let mut stream = envoy.call(STREAM, &asks(&["default"]));
    let answer: DiscoveryResponse = stream.next().message();
    let nack = DiscoveryRequest {
        version_info: String::new(),
        error_detail: Some(rpc::Status {
            code: 13,
            message: "Failed to load\nprivate key".to_owned(),
        }),
        ..acks(&answer, &["default"])
    };
    for _ in 0..3 {
        stream.say(&nack);
    }
    assert!(quiet::<DiscoveryResponse>(&mut stream), "a spin");
    let metrics = daemon.get("/metrics").unwrap().body;
    for line in [
        "mwid_sds_nacks_total{kind=\"stream\"} 1",
        "mwid_sds_streams{kind=\"stream\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    daemon.wait_for("the status", |d| {
        let sds = &d.status().unwrap()["workload"]["sds"];
        sds["streams"] == 1 && sds["nacks"] == 1
    });
    let leaf = place.deliver_good();
    assert!(
        is_of(&secrets(&stream.next().message())[0], &leaf),
        "the next generation"
    );
    let log = daemon.stop();
    assert!(
        log.contains("payments-envoy") && log.contains("Failed to load\\nprivate key"),
        "{log}"
    );
    assert_eq!(log.matches("Envoy refused a secret").count(), 1, "{log}");
}

#[test]
fn what_can_never_be_answered_is_refused_with_its_reason() {
    let mut place = Place::new();
    place.config("api: { workload: { sds: { spiffe_validator: false } } }");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let envoy = Envoy::connect(&socket(&place));
    let other_type = DiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..asks(&["default"])
    };
    for (method, request, code, word) in [
        (STREAM, asks(&["ALL"]), INVALID_ARGUMENT, "one trusted_ca"),
        (FETCH, asks(&["ALL"]), INVALID_ARGUMENT, "one trusted_ca"),
        (FETCH, asks(&["nonsense"]), NOT_FOUND, "no such secret"),
        (
            STREAM,
            other_type,
            INVALID_ARGUMENT,
            "envoy.config.cluster.v3.Cluster",
        ),
    ] {
        match envoy.call(method, &request).next::<DiscoveryResponse>() {
            Next::End(found, words) => assert!(found == code && words.contains(word), "{found} {words}"),
            other => panic!("{method}: {other:?}"),
        }
    }
    let mut stream = envoy.call(STREAM, &asks(&["ALL", "ROOTCA"]));
    let [roots] = &secrets(&stream.next().message())[..] else {
        panic!("not the one that there is");
    };
    let Some(Type::ValidationContext(context)) = &roots.r#type else {
        panic!("no roots");
    };
    assert!(context.trusted_ca.is_some() && context.custom_validator_config.is_none());
    daemon.stop();
}

#[test]
fn other_names_are_in_force_after_a_reload_also_on_open_streams() {
    let mut place = Place::new();
    let (mut daemon, leaf) = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    let mut stream = envoy.call(STREAM, &asks(&["mine"]));
    let answer: DiscoveryResponse = stream.next().message();
    assert!(answer.resources.is_empty() && answer.resource_errors.len() == 1);
    place.config("api: { workload: { sds: { default: mine } } }");
    daemon.signal(Signal::SIGHUP);
    assert!(is_of(&secrets(&stream.next().message())[0], &leaf));
    daemon.wait_for("the record of it", |d| d.log().contains("api.workload.sds"));
    daemon.stop();
}

#[test]
fn a_denied_envoy_is_told_so_and_a_reload_decides_anew() {
    if !can_be_others("a_denied_envoy") {
        return;
    }
    let mut place = Place::new();
    place.open_to_all();
    let (daemon, _) = started(&mut place);
    let envoy = as_user(ALICE, ALICE, &[], || Envoy::connect(&socket(&place)));
    let denied = |call: &mut Call<'_>| {
        let next = call.next::<DiscoveryResponse>();
        assert_eq!(
            next,
            Next::End(PERMISSION_DENIED, "no identity issued".to_owned())
        );
    };
    for method in [STREAM, FETCH] {
        denied(&mut envoy.call(method, &asks(&["default"])));
    }
    place.config("access: [{ who: { uid: 45011 }, may: { identity: true } }]");
    assert!(place.mwid(&["reload"]).status.success());
    let mut stream = envoy.call(STREAM, &asks(&["default"]));
    assert_eq!(secrets(&stream.next().message()).len(), 1);
    place.config("");
    assert!(place.mwid(&["reload"]).status.success());
    denied(&mut stream);
    daemon.stop();
}

/// What was encoded for it before waits in the daemon, and is not sent after the denial.
#[test]
fn a_denial_reaches_an_envoy_that_reads_nothing_and_it_gets_nothing_more() {
    if !can_be_others("a_denial_reaches_an_envoy_that_reads_nothing") {
        return;
    }
    let mut place = Place::new();
    place.open_to_all();
    let (mut daemon, _) = started(&mut place);
    place.config("access: [{ who: { uid: 45011 }, may: { identity: true } }]");
    assert!(place.mwid(&["reload"]).status.success());
    let envoy = as_user(ALICE, ALICE, &[], || Envoy::with_window(&socket(&place), 100));
    let mut stream = envoy.call(STREAM, &asks(&["default"]));
    // A second answer, behind the first that it has not taken.
    place.deliver_good();
    daemon.wait_generation(2);
    let streams = |daemon: &Daemon| daemon.status().unwrap()["workload"]["sds"]["streams"].clone();
    assert_eq!(streams(&daemon), 1);
    place.config("");
    assert!(place.mwid(&["reload"]).status.success());
    daemon.wait_for("the end of the stream", |daemon| streams(daemon) == 0);
    assert_eq!(stream.next::<DiscoveryResponse>(), Next::BrokenOff);
    drop(stream);
    drop(envoy);
    daemon.stop();
}
