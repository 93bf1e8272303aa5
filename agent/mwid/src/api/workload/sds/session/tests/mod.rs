//! The xDS rules, one by one, for both kinds of stream.
mod increments;
mod state_of_the_world;

use super::super::secrets::{Form, Secrets};
use super::super::testing::{OWN, World};
use super::super::wire::SECRET_TYPE;
use super::delta::Delta;
use super::sotw::Sotw;
use super::*;
use crate::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use crate::proto::google::rpc;
use std::collections::BTreeMap;

/// Three generations: a first, a renewed certificate under the same roots, and one that lost the other domain.
struct Generations {
    first: Secrets,
    renewed: Secrets,
    alone: Secrets,
}

impl Generations {
    fn of(form: Form) -> Self {
        let world = World::new();
        Self {
            first: world.payments().secrets(form),
            renewed: world.payments().secrets(form),
            alone: world.alone().secrets(form),
        }
    }

    fn new() -> Self {
        Self::of(Form::Spiffe)
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn found(answer: &Answer) -> Vec<&str> {
    answer.found.iter().map(|(name, _)| &**name).collect()
}

fn missing(answer: &Answer) -> Vec<&str> {
    answer.missing.iter().map(|(name, _)| &**name).collect()
}

fn removed(answer: &Answer) -> Vec<&str> {
    answer.removed.iter().map(|name| &**name).collect()
}

fn error(message: &str) -> Option<rpc::Status> {
    Some(rpc::Status {
        code: 13,
        message: message.to_owned(),
    })
}

#[test]
fn what_a_stream_may_ask_for_is_bounded() {
    let names =
        |count: usize, bytes: usize| -> Vec<String> { (0..count).map(|n| format!("{n:0bytes$}")).collect() };
    let sotw = |names: Vec<String>| {
        let request = DiscoveryRequest {
            resource_names: names,
            ..Default::default()
        };
        Sotw::default().request(&request, None).map(|_| ())
    };
    let delta = |names: Vec<String>| {
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: names,
            ..Default::default()
        };
        Delta::default().request(&request, None).map(|_| ())
    };
    for ask in [&sotw as &dyn Fn(Vec<String>) -> Result<(), Refusal>, &delta] {
        assert_eq!(ask(names(128, 200)), Ok(()));
        assert!(matches!(
            ask(names(129, 4)),
            Err(Refusal::TooManyNames {
                found: 129,
                limit: 128
            })
        ));
        assert_eq!(ask(names(16, 2048)), Ok(()));
        assert!(matches!(ask(names(17, 2048)), Err(Refusal::NamesTooLong { .. })));
        assert!(matches!(
            ask(names(1, 2049)),
            Err(Refusal::NameTooLong {
                found: 2049,
                limit: 2048
            })
        ));
    }
    // Also bit by bit.
    let mut stream = Delta::default();
    let mut last = Ok(());
    for name in names(129, 4) {
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: vec![name],
            ..Default::default()
        };
        last = stream.request(&request, None).map(|_| ());
    }
    assert!(matches!(last, Err(Refusal::TooManyNames { .. })));
}

#[test]
fn the_nodes_metadata_may_ask_for_plain_roots() {
    use prost_types::{Struct, Value, value::Kind};
    let node = |kind: Kind| {
        let value = Value { kind: Some(kind) };
        let fields = [("disable_spiffe_cert_validation".to_owned(), value)];
        Node {
            metadata: Some(Struct {
                fields: fields.into(),
            }),
            ..Node::default()
        }
    };
    let text = |text: &str| Kind::StringValue(text.to_owned());
    for (kind, plain) in [
        (Kind::BoolValue(true), true),
        (Kind::BoolValue(false), false),
        (text("true"), true),
        (text("True"), true),
        (text("1"), true),
        (text("false"), false),
        (text("yes"), false),
        (text(""), false),
        (Kind::NumberValue(1.0), false),
        (Kind::NullValue(0), false),
    ] {
        assert_eq!(plain_wanted(&node(kind.clone())), plain, "{kind:?}");
    }
    assert!(!plain_wanted(&Node::default()));
}

#[test]
fn long_reasons_are_cut_between_characters() {
    assert_eq!(shortened("short"), "short");
    let cut = shortened(&"é".repeat(600));
    assert_eq!(cut.chars().count(), 515);
    assert!(cut.ends_with("é..."));
}
