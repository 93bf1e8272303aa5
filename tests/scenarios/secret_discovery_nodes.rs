//! What Envoys say about themselves: much, each time, and many of them at once.

use crate::daemon::{DOMAIN, Daemon, PATH, Place};
use crate::secret_discovery::{asks, secret, secrets, socket, subscribes};
use crate::spiffe::{INVALID_ARGUMENT, RESOURCE_EXHAUSTED};
use crate::xds::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use crate::xds::{DELTA, Envoy, FETCH, Next, STREAM, core, rpc, tls};
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// A node as Envoy writes it: each of its extensions, and the metadata that its owner gave it.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<prost_types::Struct>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    extensions: Vec<Vec<u8>>,
}

/// What is put before or behind a request: protobuf joins them.
#[derive(Clone, PartialEq, Message)]
struct OfStream {
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct OfDelta {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
}

/// A node of so many kilobytes, half of them metadata.
fn node(kilobytes: usize) -> Option<Node> {
    use prost_types::value::Kind;
    let text = |text: &str| prost_types::Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let mut fields: BTreeMap<_, _> = (0..kilobytes / 2)
        .map(|n| (format!("LABEL_{n}"), text(&"x".repeat(1000))))
        .collect();
    let plain = prost_types::Value {
        kind: Some(Kind::BoolValue(true)),
    };
    fields.insert("disable_spiffe_cert_validation".to_owned(), plain);
    Some(Node {
        id: "large-envoy".to_owned(),
        metadata: Some(prost_types::Struct { fields }),
        extensions: vec![vec![b'e'; 1000]; kilobytes / 2],
    })
}

fn of_stream(kilobytes: usize, nonce: &str) -> OfStream {
    OfStream {
        node: node(kilobytes),
        names: vec!["default".to_owned(), "ROOTCA".to_owned()],
        nonce: nonce.to_owned(),
    }
}

fn started(place: &mut Place) -> Daemon {
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

/// Plain roots, as the node says.
fn is_plain(secrets: &[tls::Secret]) -> bool {
    assert_eq!(secrets.len(), 2);
    let context = secrets.iter().find_map(|secret| match &secret.r#type {
        Some(tls::secret::Type::ValidationContext(context)) => Some(context),
        _ => None,
    });
    let context = context.unwrap();
    context.trusted_ca.is_some() && context.custom_validator_config.is_none()
}

#[test]
fn an_envoy_with_much_to_say_about_itself_is_served_and_heard() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    for kilobytes in [70, 200, 3_000] {
        let mut stream = envoy.call(STREAM, &of_stream(kilobytes, ""));
        let answer: DiscoveryResponse = stream.next().message();
        assert!(is_plain(&secrets(&answer)), "{kilobytes} KB");
        // It says all of it again with each word.
        stream.say(&OfStream {
            nonce: answer.nonce.clone(),
            names: vec![
                "default".to_owned(),
                "ROOTCA".to_owned(),
                format!("spiffe://{DOMAIN}{PATH}"),
            ],
            ..of_stream(kilobytes, "")
        });
        let answer: DiscoveryResponse = stream.next().message();
        assert_eq!(answer.resources.len(), 3, "{kilobytes} KB");
        let delta = OfDelta {
            node: node(kilobytes),
            names: vec!["default".to_owned(), "ROOTCA".to_owned()],
        };
        let answer: DeltaDiscoveryResponse = envoy.call(DELTA, &delta).next().message();
        let got: Vec<_> = answer
            .resources
            .iter()
            .map(|r| secret(r.resource.as_ref().unwrap()))
            .collect();
        assert!(is_plain(&got), "{kilobytes} KB");
        let answer: DiscoveryResponse = envoy.call(FETCH, &of_stream(kilobytes, "")).next().message();
        assert!(is_plain(&secrets(&answer)), "{kilobytes} KB");
    }
    daemon.stop();
}

/// All of one user's, after a restart: together they say more than one user may leave half said.
#[test]
fn many_envoys_that_come_at_once_are_all_served() {
    const COUNT: usize = 60;
    let mut place = Place::new();
    let daemon = started(&mut place);
    let path = socket(&place);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let envoys: Vec<_> = (0..COUNT / 4).map(|_| Envoy::connect(&path)).collect();
                // Each is half way with all it says when the next one begins.
                let mut calls: Vec<_> = envoys
                    .iter()
                    .map(|envoy| envoy.call(STREAM, &of_stream(200, "")))
                    .collect();
                for call in &mut calls {
                    let answer: DiscoveryResponse = call.next().message();
                    assert!(is_plain(&secrets(&answer)));
                }
            });
        }
    });
    daemon.stop();
}

/// After a restart of mwid's, of one that was told of every trust domain, each with as long a name as there is.
#[test]
fn an_envoy_that_knows_all_there_can_be_is_heard() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    let knows = |count: usize| DeltaDiscoveryRequest {
        initial_resource_versions: (0..count)
            .map(|number| (format!("spiffe://{number:0>255}"), "f".repeat(32)))
            .collect(),
        ..subscribes(&[])
    };
    let answer: DeltaDiscoveryResponse = envoy.call(DELTA, &knows(1280)).next().message();
    assert_eq!(
        (answer.resources.len(), answer.removed_resources.len()),
        (2, 1280)
    );
    let Next::<DeltaDiscoveryResponse>::End(code, words) = envoy.call(DELTA, &knows(1281)).next() else {
        panic!("answered");
    };
    assert_eq!(code, INVALID_ARGUMENT);
    assert!(words.contains("1281 names"), "{words}");
    drop(envoy);
    daemon.stop();
}

#[test]
fn a_request_that_is_too_large_is_refused_and_the_operator_is_told_who_sent_it() {
    let mut place = Place::new();
    let daemon = started(&mut place);
    let envoy = Envoy::connect(&socket(&place));
    for _ in 0..3 {
        let mut call = envoy.call(STREAM, &of_stream(5_000, ""));
        let Next::<DiscoveryResponse>::End(code, words) = call.next() else {
            panic!("answered");
        };
        assert_eq!(code, RESOURCE_EXHAUSTED);
        assert!(words.contains("larger than the allowed 4194304"), "{words}");
    }
    let answer: DiscoveryResponse = envoy.call(STREAM, &asks(&["default"])).next().message();
    assert_eq!(answer.resources.len(), 1);
    let log = daemon.stop();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("sent a message of 5"))
        .collect();
    let uid = format!("uid={}", nix::unistd::getuid());
    assert!(lines.len() == 1 && lines[0].contains(&uid), "{lines:?}\n{log}");
}

#[test]
fn each_envoy_that_refuses_is_on_record_with_each_of_its_reasons() {
    let mut place = Place::new();
    let mut daemon = started(&mut place);
    let refusals = [
        ("envoy-east", "no such curve"),
        ("envoy-east", "key and chain differ"),
        ("envoy-west", "key and chain differ"),
    ];
    for (id, reason) in refusals {
        let envoy = Envoy::connect(&socket(&place));
        let named = || DiscoveryRequest {
            node: Some(core::Node {
                id: id.to_owned(),
                ..Default::default()
            }),
            ..asks(&["default"])
        };
        let mut stream = envoy.call(STREAM, &named());
        let answer: DiscoveryResponse = stream.next().message();
        let error = rpc::Status {
            code: 13,
            message: reason.to_owned(),
        };
        stream.say(&DiscoveryRequest {
            response_nonce: answer.nonce,
            error_detail: Some(error),
            ..named()
        });
        stream.next_within::<DiscoveryResponse>(Duration::from_millis(100));
    }
    daemon.wait_for("all refusals", |d| {
        d.status().unwrap()["workload"]["sds"]["nacks"] == 3
    });
    let log = daemon.stop();
    for (id, reason) in refusals {
        let is_told = |line: &str| line.contains(reason) && line.contains(id);
        assert_eq!(log.lines().filter(|line| is_told(line)).count(), 1, "{id}: {log}");
    }
}
