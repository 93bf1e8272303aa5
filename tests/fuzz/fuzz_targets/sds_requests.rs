//! What an Envoy asks the secret discovery service for, in any order. Answers hold what was asked for and nothing else, once; they are what the
//! generated code reads; a refused answer is not sent again; and a stream asks for no more than was agreed.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, IdentitySnapshot, Prover, UnixTime};
use prost::Message;
use proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

#[path = "../../../agent/mwid/src/proto/mod.rs"]
mod proto;

mod config {
    pub(crate) struct SdsSettings {
        pub(crate) default: String,
        pub(crate) root: String,
        pub(crate) all: String,
    }
}

#[path = "../../../agent/mwid/src/grpc"]
mod grpc {
    mod frame;
    mod sieve;
    mod sifted;
    mod status;
    mod serve {
        /// Of streams that are read; here none is.
        pub(crate) struct Purse;

        impl Purse {
            pub(crate) fn hold(&mut self, _: usize) -> Result<(), usize> {
                Ok(())
            }
        }
    }
    pub(crate) use frame::{Joint, Pieces};

    /// The message in a frame that was made in pieces.
    pub(crate) fn message(pieces: Pieces) -> Vec<u8> {
        let bytes = pieces.into_iter().collect::<Vec<_>>().concat();
        let (head, message) = bytes.split_at(5);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        assert_eq!(head, [&[0], &length[..]].concat());
        message.to_vec()
    }
}

#[path = "../../../agent/mwid/src/api/workload/sds/names.rs"]
mod names;
#[path = "../../../agent/mwid/src/api/workload/sds/secrets/mod.rs"]
mod secrets;
#[path = "../../../agent/mwid/src/api/workload/sds/session/mod.rs"]
mod session;
#[path = "../../../agent/mwid/src/api/workload/sds/wire.rs"]
mod wire;

use secrets::{Form, Secrets};
use session::Refusal;
use session::delta::Delta;
use session::sotw::Sotw;

/// What there was to say: names of what was found, missing and removed, and the message.
struct Said {
    nonce: String,
    found: Vec<String>,
    missing: Vec<String>,
    removed: Vec<String>,
    message: Vec<u8>,
}

fn said(answer: &session::Answer, frame: fn(&session::Answer) -> grpc::Pieces) -> Said {
    Said {
        nonce: answer.nonce.clone(),
        found: answer.found.iter().map(|(name, _)| name.to_string()).collect(),
        missing: answer.missing.iter().map(|(name, _)| name.to_string()).collect(),
        removed: answer.removed.iter().map(ToString::to_string).collect(),
        message: grpc::message(frame(answer)),
    }
}

/// Whether it was told of a refusal, and what it says.
type Outcome = Result<(bool, Option<Said>), Refusal>;

impl Sotw {
    fn say(&mut self, request: &DiscoveryRequest, secrets: Option<&Secrets>) -> Outcome {
        request.node.as_ref().map(session::plain_wanted);
        let outcome = self.request(request, secrets)?;
        let answer = outcome.answer.map(|answer| said(&answer, wire::sotw));
        Ok((is_short(outcome.nack), answer))
    }

    fn hear(&mut self, secrets: &Secrets) -> Outcome {
        Ok((false, self.due(secrets)?.map(|answer| said(&answer, wire::sotw))))
    }
}

impl Delta {
    fn say(&mut self, request: &DeltaDiscoveryRequest, secrets: Option<&Secrets>) -> Outcome {
        request.node.as_ref().map(session::plain_wanted);
        let outcome = self.request(request, secrets)?;
        let answer = outcome.answer.map(|answer| said(&answer, wire::delta));
        Ok((is_short(outcome.nack), answer))
    }

    fn hear(&mut self, secrets: &Secrets) -> Outcome {
        Ok((false, self.due(secrets)?.map(|answer| said(&answer, wire::delta))))
    }
}

fn is_short(nack: Option<session::Nack>) -> bool {
    let is = nack.is_some();
    assert!(nack.is_none_or(|nack| nack.reason.chars().count() <= 515));
    is
}

const OWN: &str = "spiffe://pool.global.123.workload.id.goog/ns/shop/sa/payments";
/// Names that are asked for more often than chance has them; any other is the input's.
const NAMES: [&str; 10] = [
    "default",
    "ROOTCA",
    "ALL",
    "*",
    OWN,
    "spiffe://pool.global.123.workload.id.goog",
    "spiffe://unknown.example",
    "spiffe://pool.global.123.workload.id.goog/ns/other",
    "nonsense",
    "",
];
/// So many names may a stream have.
const MOST_NAMES: usize = 128;

fn identity(chain: &[u8], key: &[u8], bundle: &[u8]) -> Arc<IdentitySnapshot> {
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let candidate = Candidate {
        certificates_pem: chain.to_vec().into(),
        private_key_pem: key.to_vec().into(),
        bundles: CandidateBundles::MapJson(bundle.to_vec()),
    };
    let in_2030 = UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000));
    Arc::new(prover.prove(&candidate, in_2030).unwrap())
}

macro_rules! identity {
    ($name:literal) => {
        identity(
            include_bytes!(concat!("../../../certs-testdata/", $name, "/chain.pem")),
            include_bytes!(concat!("../../../certs-testdata/", $name, "/key.pem")),
            include_bytes!(concat!("../../../certs-testdata/", $name, "/bundle.json")),
        )
    };
}

/// Two generations in both forms.
static SECRETS: LazyLock<[[Secrets; 2]; 2]> = LazyLock::new(|| {
    let names = Arc::new(config::SdsSettings {
        default: "default".to_owned(),
        root: "ROOTCA".to_owned(),
        all: "ALL".to_owned(),
    });
    let identities = [identity!("good-federated"), identity!("good-p256")];
    [Form::Spiffe, Form::Plain]
        .map(|form| [0, 1].map(|n| Secrets::new(Arc::clone(&identities[n]), Arc::clone(&names), form)))
});

/// A list of names: a byte below the table's length is one of its names, any other begins a name of the input's own.
fn names_of(bytes: &[u8]) -> Vec<String> {
    let mut all: Vec<String> = vec![];
    for byte in bytes {
        match NAMES.get(usize::from(*byte)) {
            Some(name) => all.push((*name).to_owned()),
            None if byte.is_ascii_uppercase() || all.is_empty() => all.push(char::from(*byte).into()),
            None => all.last_mut().unwrap().push(char::from(*byte)),
        }
    }
    all
}

fn everything(secrets: &Secrets) -> BTreeSet<String> {
    secrets.everything().map(|name| name.to_string()).collect()
}

fn error(flags: u8) -> Option<proto::google::rpc::Status> {
    (flags & 1 != 0).then(|| proto::google::rpc::Status {
        code: 13,
        message: "x".repeat(usize::from(flags) * 8),
    })
}

fn is_once<'a>(names: impl IntoIterator<Item = &'a String>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| seen.insert(name))
}

/// A request, and whether another generation comes after it.
type Step<'a> = (u8, u8, &'a [u8], &'a [u8]);

fn nonce(flags: u8, last: &str) -> String {
    match flags >> 1 & 3 {
        0 | 1 => last.to_owned(),
        2 => String::new(),
        _ => (flags >> 3).to_string(),
    }
}

fn state_of_the_world(generations: &[Secrets; 2], steps: &[Step<'_>]) {
    let mut session = Sotw::default();
    let mut last = String::new();
    let mut now: Option<&Secrets> = None;
    for (flags, next, asked, more) in steps {
        let request = match flags & 0x80 {
            0 => DiscoveryRequest {
                resource_names: names_of(asked),
                response_nonce: nonce(*flags, &last),
                error_detail: error(*flags),
                version_info: String::from_utf8_lossy(more).into(),
                ..Default::default()
            },
            _ => match DiscoveryRequest::decode(*asked) {
                Ok(request) => request,
                Err(_) => return,
            },
        };
        let Ok((_, answer)) = session.say(&request, now) else {
            return;
        };
        if let (Some(answer), Some(secrets)) = (&answer, now) {
            last = check_sotw(answer);
            let asked: BTreeSet<_> = request.resource_names.iter().cloned().collect();
            let told: BTreeSet<_> = answer.found.iter().chain(&answer.missing).cloned().collect();
            let mut all = everything(secrets);
            all.extend(asked.iter().cloned());
            assert!(told.is_subset(&all) && told.len() <= MOST_NAMES + all.len());
            let wanted = asked.iter().filter(|name| *name != "*");
            assert!(wanted.into_iter().all(|name| told.contains(name)));
        }
        if let Some(secrets) = now {
            let Ok((_, again)) = session.hear(secrets) else {
                return;
            };
            assert!(again.is_none(), "told again without a change");
            // A refusal, and another: the first is noted, and neither is answered.
            let refusal = DiscoveryRequest {
                response_nonce: last.clone(),
                error_detail: error(1),
                ..request
            };
            if answer.is_some() {
                let Ok((nack, again)) = session.say(&refusal, now) else {
                    return;
                };
                assert!(nack && again.is_none(), "a refused answer was sent again");
                let Ok((nack, again)) = session.say(&refusal, now) else {
                    return;
                };
                assert!(!nack && again.is_none(), "a second refusal was met otherwise");
            }
        }
        if next % 3 < 2 {
            let secrets = &generations[usize::from(next % 3)];
            now = Some(secrets);
            match session.hear(secrets) {
                Ok((_, Some(answer))) => last = check_sotw(&answer),
                Ok((_, None)) => {}
                Err(_) => return,
            }
        }
    }
}

fn check_sotw(answer: &Said) -> String {
    let message = DiscoveryResponse::decode(&*answer.message).unwrap();
    assert_eq!(message.resources.len(), answer.found.len());
    assert_eq!(message.resource_errors.len(), answer.missing.len());
    assert!(is_once(answer.found.iter().chain(&answer.missing)));
    for (any, name) in message.resources.iter().zip(&answer.found) {
        check_secret(any, name);
    }
    assert_eq!(message.nonce, answer.nonce);
    message.nonce
}

fn increments(generations: &[Secrets; 2], steps: &[Step<'_>]) {
    let mut session = Delta::default();
    let mut last = String::new();
    let mut now: Option<&Secrets> = None;
    // What the client has: by our answers alone.
    let mut has: BTreeSet<String> = BTreeSet::new();
    let mut ever: BTreeSet<String> = BTreeSet::new();
    for (flags, next, asked, less) in steps {
        let request = match flags & 0x80 {
            0 => DeltaDiscoveryRequest {
                resource_names_subscribe: names_of(asked),
                resource_names_unsubscribe: names_of(less),
                response_nonce: nonce(*flags, &last),
                error_detail: error(*flags),
                initial_resource_versions: match flags & 0x40 {
                    0 => BTreeMap::new(),
                    _ => names_of(asked).into_iter().map(|name| (name, "v".to_owned())).collect(),
                },
                ..Default::default()
            },
            _ => match DeltaDiscoveryRequest::decode(*asked) {
                Ok(request) => request,
                Err(_) => return,
            },
        };
        ever.extend(request.resource_names_subscribe.iter().cloned());
        ever.extend(request.resource_names_unsubscribe.iter().cloned());
        ever.extend(request.initial_resource_versions.keys().cloned());
        ever.extend(generations.iter().flat_map(everything));
        let mut heard = |answer: Option<Said>| {
            let Some(answer) = answer else { return };
            last = check_delta(&answer);
            for name in answer.found.iter().chain(&answer.missing).chain(&answer.removed) {
                assert!(ever.contains(name), "{name:?} was never asked for");
            }
            has.extend(answer.found.iter().cloned());
            has.retain(|name| !answer.missing.contains(name) && !answer.removed.contains(name));
        };
        match session.say(&request, now) {
            Ok((_, answer)) => heard(answer),
            Err(_) => return,
        }
        if let Some(secrets) = now {
            let Ok((_, again)) = session.hear(secrets) else {
                return;
            };
            assert!(again.is_none(), "told again without a change");
        }
        if next % 3 < 2 {
            let secrets = &generations[usize::from(next % 3)];
            now = Some(secrets);
            match session.hear(secrets) {
                Ok((_, answer)) => heard(answer),
                Err(_) => return,
            }
        }
        assert!(has.len() <= MOST_NAMES + everything(&generations[0]).len());
    }
}

fn check_delta(answer: &Said) -> String {
    let message = DeltaDiscoveryResponse::decode(&*answer.message).unwrap();
    assert_eq!(message.resources.len(), answer.found.len());
    let gone = answer.missing.len() + answer.removed.len();
    assert_eq!(message.removed_resources.len(), gone);
    assert!(is_once(
        answer
            .found
            .iter()
            .chain(&answer.missing)
            .chain(&answer.removed)
    ));
    for (resource, name) in message.resources.iter().zip(&answer.found) {
        assert_eq!(resource.name, *name);
        check_secret(resource.resource.as_ref().unwrap(), name);
    }
    assert_eq!(message.nonce, answer.nonce);
    message.nonce
}

fn check_secret(any: &prost_types::Any, name: &str) {
    use proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret::Type};
    let secret = Secret::decode(&*any.value).unwrap();
    assert_eq!(secret.name, name);
    let is_key = matches!(secret.r#type, Some(Type::TlsCertificate(_)));
    assert_eq!(is_key, name == "default" || name == OWN, "{name:?}");
    assert!(secret.r#type.is_some());
}

fuzz_target!(|input: (bool, bool, Vec<Step<'_>>)| {
    let (plain, delta, steps) = input;
    let steps = &steps[..steps.len().min(32)];
    let generations = &SECRETS[usize::from(plain)];
    match delta {
        true => increments(generations, steps),
        false => state_of_the_world(generations, steps),
    }
});
