//! JWT-SVIDs at the Workload API: minted with a development identity, validated for whoever may have the identity, and never from elsewhere.

use crate::daemon::Place;
use crate::spiffe::{HEADER, INVALID_ARGUMENT, Next, Program, UNIMPLEMENTED};
use prost::Message;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Message)]
struct JwtSvidRequest {
    #[prost(string, repeated, tag = "1")]
    audience: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct JwtSvids {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<JwtSvid>,
}

#[derive(Clone, PartialEq, Message)]
struct JwtSvid {
    #[prost(string, tag = "1")]
    spiffe_id: String,
    #[prost(string, tag = "2")]
    svid: String,
}

#[derive(Clone, PartialEq, Message)]
struct JwtBundles {
    #[prost(btree_map = "string, bytes", tag = "1")]
    bundles: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ValidateRequest {
    #[prost(string, tag = "1")]
    audience: String,
    #[prost(string, tag = "2")]
    svid: String,
}

#[derive(Clone, PartialEq, Message)]
struct Verdict {
    #[prost(string, tag = "1")]
    spiffe_id: String,
    #[prost(message, optional, tag = "2")]
    claims: Option<prost_types::Struct>,
}

const DEV: &str = "spiffe://dev.internal/ns/dev/sa/vm";

pub(crate) fn development(place: &Place) {
    place.config_text(&format!(
        "identity:\n  source: {{ dev_ca: {{ trust_domain: dev.internal, path: /ns/dev/sa/vm, lifetime: 1h }} }}\n\
         runtime_dir: {}\npublish: [{{ directory: {} }}]\n",
        place.path("run").display(),
        place.path("run/identity").display()
    ));
}

fn connect(place: &Place) -> Program {
    Program::connect(&place.path("run/workload.sock"))
}

fn ask(program: &Program, method: &str, message: &impl Message) -> Next {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, &message].concat();
    program.call_with(method, &[HEADER], &body).unwrap().next()
}

fn fetch(program: &Program, audience: &[&str]) -> Next {
    let request = JwtSvidRequest {
        audience: audience.iter().map(|&one| one.to_owned()).collect(),
    };
    ask(program, "FetchJWTSVID", &request)
}

fn validate(program: &Program, audience: &str, svid: &str) -> Next {
    let request = ValidateRequest {
        audience: audience.to_owned(),
        svid: svid.to_owned(),
    };
    ask(program, "ValidateJWTSVID", &request)
}

fn message<M: Message + Default>(next: Next) -> M {
    match next {
        Next::Message(bytes) => M::decode(&bytes[..]).unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

/// The names of a domain's keys.
fn kids(program: &Program, domain: &str) -> Vec<String> {
    let bundles: JwtBundles = message(program.first("FetchJWTBundles"));
    let set: serde_json::Value = serde_json::from_slice(&bundles.bundles[domain]).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert!(
        keys.iter()
            .all(|key| key["use"] == "jwt-svid" && key.get("x5c").is_none())
    );
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_development_identity_comes_with_jwt_svids_that_hold_as_long_as_its_ca_does() {
    let place = Place::new();
    development(&place);
    let mut daemon = place.start();
    daemon.wait_ready();
    let program = connect(&place);
    let answer: JwtSvids = message(fetch(&program, &["reports", "ledger"]));
    let svid = &answer.svids[0];
    assert_eq!((answer.svids.len(), svid.spiffe_id.as_str()), (1, DEV));
    let again: JwtSvids = message(fetch(&program, &["reports", "ledger"]));
    assert!(again == answer, "one token until half its life is over");
    let verdict: Verdict = message(validate(&program, "ledger", &svid.svid));
    assert_eq!(verdict.spiffe_id, DEV);
    assert!(verdict.claims.unwrap().fields.contains_key("exp"));
    let Next::End(INVALID_ARGUMENT, words) = validate(&program, "bank", &svid.svid) else {
        panic!("another audience is served");
    };
    assert!(words.contains("audience"), "{words}");

    let kids_before = kids(&program, "spiffe://dev.internal");
    assert_eq!(kids_before.len(), 1);
    let published = std::fs::read_to_string(place.published("dev.internal.bundle.json")).unwrap();
    assert!(published.contains(&kids_before[0]), "{published}");
    let status = String::from_utf8(place.mwid(&["status"]).stdout).unwrap();
    assert!(status.contains("JWT-SVIDs: minted"), "{status}");
    let metrics = daemon.get("/metrics").unwrap().body;
    for line in [
        "mwid_workload_jwt_validations_total{outcome=\"valid\"} 1",
        "mwid_workload_jwt_validations_total{outcome=\"audience\"} 1",
        "mwid_workload_messages_total{method=\"FetchJWTSVID\"} 2",
    ] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    let log = daemon.stop();
    assert!(
        log.contains("JWT-SVID for reports, ledger"),
        "no audit line in:\n{log}"
    );
    let signature = svid.svid.rsplit('.').next().unwrap();
    assert!(!log.contains(signature) && !metrics.contains(signature));

    // The key was in memory only: another process makes another, and what the old one signed is over.
    let mut daemon = place.start();
    daemon.wait_ready();
    let program = connect(&place);
    // What was last published may be there for a moment, with its whole bundle.
    daemon.wait_for("another key", |_| {
        kids(&program, "spiffe://dev.internal") != kids_before
    });
    let Next::End(INVALID_ARGUMENT, words) = validate(&program, "ledger", &svid.svid) else {
        panic!("a dead CA's token holds");
    };
    assert!(words.contains("no JWT key"), "{words}");
    daemon.stop();
}

#[test]
fn a_platform_without_jwt_svids_says_so_and_tells_clients_not_to_ask_again() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let program = connect(&place);
    let Next::End(UNIMPLEMENTED, words) = fetch(&program, &["reports"]) else {
        panic!("a JWT-SVID from nowhere");
    };
    assert!(words.contains("gives no JWT-SVIDs"), "{words}");
    let domain = format!("spiffe://{}", crate::daemon::DOMAIN);
    assert!(
        kids(&program, &domain).is_empty(),
        "our own domain is told, without keys"
    );
    let Next::End(INVALID_ARGUMENT, words) = validate(&program, "reports", "e30.e30.e30") else {
        panic!("nonsense holds");
    };
    assert!(words.contains("no JWT-SVID"), "{words}");
    daemon.stop();
}
