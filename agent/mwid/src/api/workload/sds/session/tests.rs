//! The xDS rules, one by one, for both kinds of stream.
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

mod state_of_the_world {
    use super::*;

    /// A stream and the client at its other end, which remembers as Envoy does.
    #[derive(Default)]
    struct Stream {
        stream: Sotw,
        nonce: String,
        /// The last that was accepted.
        version: String,
        /// The last that came.
        offered: String,
    }

    impl Stream {
        fn request(&self, names: &[&str]) -> DiscoveryRequest {
            DiscoveryRequest {
                version_info: self.version.clone(),
                resource_names: texts(names),
                type_url: SECRET_TYPE.to_owned(),
                response_nonce: self.nonce.clone(),
                ..Default::default()
            }
        }

        fn take(&mut self, outcome: Outcome) -> Option<Answer> {
            assert_eq!(outcome.nack, None);
            let answer = outcome.answer?;
            self.nonce.clone_from(&answer.nonce);
            self.offered = answer.version.to_string();
            Some(answer)
        }

        /// Asks, having accepted what came before.
        fn ask(&mut self, names: &[&str], secrets: &Secrets) -> Option<Answer> {
            self.version.clone_from(&self.offered);
            let outcome = self.stream.request(&self.request(names), Some(secrets)).unwrap();
            self.take(outcome)
        }

        fn ack(&mut self, answer: &Answer, names: &[&str], secrets: &Secrets) {
            self.version = answer.version.to_string();
            assert!(
                self.ask(names, secrets).is_none(),
                "an acknowledgement was answered"
            );
        }

        fn nack(&mut self, names: &[&str], secrets: &Secrets) -> Outcome {
            let request = DiscoveryRequest {
                error_detail: error("bad key"),
                ..self.request(names)
            };
            self.stream.request(&request, Some(secrets)).unwrap()
        }

        fn due(&mut self, secrets: &Secrets) -> Option<Answer> {
            let answer = self.stream.due(secrets).unwrap()?;
            self.nonce.clone_from(&answer.nonce);
            self.offered = answer.version.to_string();
            Some(answer)
        }
    }

    #[test]
    fn each_name_is_answered_on_its_own() {
        let now = Generations::new().first;
        let all = [
            "default",
            "ROOTCA",
            "ALL",
            OWN,
            "spiffe://example.org",
            "spiffe://other.example",
        ];
        for name in all {
            let answer = Stream::default().ask(&[name], &now).unwrap();
            assert_eq!(found(&answer), [name]);
            assert!(answer.missing.is_empty());
        }
        // Two names for one thing in one request, and all of them.
        for pair in [
            ["default", OWN],
            ["ROOTCA", "spiffe://example.org"],
            ["ALL", "ROOTCA"],
        ] {
            let answer = Stream::default().ask(&pair, &now).unwrap();
            assert_eq!(answer.found.len(), 2, "{pair:?}");
        }
        assert_eq!(Stream::default().ask(&all, &now).unwrap().found.len(), 6);
    }

    #[test]
    fn an_unknown_name_takes_nothing_from_the_others() {
        let now = Generations::new().first;
        let answer = Stream::default().ask(&["default", "nonsense"], &now).unwrap();
        assert_eq!(found(&answer), ["default"]);
        assert_eq!(missing(&answer), ["nonsense"]);
        assert!(answer.removed.is_empty());
        // Alone it is told as well, and waited for.
        let answer = Stream::default().ask(&["nonsense"], &now).unwrap();
        assert_eq!((found(&answer), missing(&answer)), (vec![], vec!["nonsense"]));
    }

    #[test]
    fn an_acknowledgement_is_not_answered_and_a_new_generation_is_told() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &all.first).unwrap();
        stream.ack(&first, &["default"], &all.first);
        assert!(stream.due(&all.first).is_none(), "told twice");
        let second = stream.due(&all.renewed).unwrap();
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.version, second.version);
        stream.ack(&second, &["default"], &all.renewed);
        assert!(stream.due(&all.renewed).is_none());
    }

    #[test]
    fn what_did_not_change_for_a_stream_is_not_told() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["ROOTCA"], &all.first).unwrap();
        stream.ack(&first, &["ROOTCA"], &all.first);
        assert!(stream.due(&all.renewed).is_none(), "the same roots told again");
    }

    #[test]
    fn a_refusal_is_told_once_and_answered_with_nothing_until_there_is_something_else() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &all.first).unwrap();
        let outcome = stream.nack(&["default"], &all.first);
        let nack = Nack {
            version: first.version.clone(),
            reason: "bad key".to_owned(),
        };
        assert_eq!(outcome.nack, Some(nack));
        assert!(outcome.answer.is_none(), "a spin");
        for _ in 0..3 {
            let outcome = stream.nack(&["default"], &all.first);
            assert!(outcome.nack.is_none() && outcome.answer.is_none(), "told twice");
            assert!(stream.due(&all.first).is_none(), "the refused answer again");
        }
        assert_eq!(found(&stream.due(&all.renewed).unwrap()), ["default"]);
    }

    #[test]
    fn a_refusal_by_an_older_version_alone_is_one_too() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &all.first).unwrap();
        stream.ack(&first, &["default"], &all.first);
        let second = stream.due(&all.renewed).unwrap();
        let request = stream.request(&["default"]);
        let outcome = stream.stream.request(&request, Some(&all.renewed)).unwrap();
        assert_eq!(outcome.nack.unwrap().version, second.version);
        assert!(outcome.answer.is_none());
    }

    #[test]
    fn other_names_after_a_refusal_are_answered() {
        let all = Generations::new();
        let mut stream = Stream::default();
        stream.ask(&["default"], &all.first).unwrap();
        stream.nack(&["default"], &all.first);
        stream.offered.clear();
        let answer = stream.ask(&["default", "ROOTCA"], &all.first).unwrap();
        assert_eq!(found(&answer), ["ROOTCA", "default"]);
    }

    #[test]
    fn a_stale_nonce_is_ignored_with_all_that_comes_with_it() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &all.first).unwrap();
        let second = stream.due(&all.renewed).unwrap();
        for nonce in [first.nonce.as_str(), "", "99"] {
            let request = DiscoveryRequest {
                response_nonce: nonce.to_owned(),
                error_detail: error("of the first"),
                ..stream.request(&["default", "ALL"])
            };
            let outcome = stream.stream.request(&request, Some(&all.renewed)).unwrap();
            assert!(outcome.nack.is_none() && outcome.answer.is_none(), "{nonce:?}");
        }
        stream.ack(&second, &["default"], &all.renewed);
    }

    #[test]
    fn changed_names_are_answered_when_there_are_more_and_only_then() {
        let now = Generations::new().first;
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &now).unwrap();
        stream.ack(&first, &["default"], &now);
        let both = stream.ask(&["default", "ROOTCA"], &now).unwrap();
        assert_eq!(found(&both), ["ROOTCA", "default"]);
        stream.ack(&both, &["ROOTCA", "default"], &now);
        assert!(
            stream.ask(&["default"], &now).is_none(),
            "fewer names want no answer"
        );
        assert!(stream.due(&now).is_none());
        // Left and wanted again: the client may have forgotten it.
        assert_eq!(found(&stream.ask(&["default", "ROOTCA"], &now).unwrap()).len(), 2);
    }

    #[test]
    fn without_names_at_first_it_is_everything_and_later_nothing() {
        let all = Generations::new();
        let everything = ["spiffe://example.org", OWN, "spiffe://other.example"];
        let mut stream = Stream::default();
        let answer = stream.ask(&[], &all.first).unwrap();
        assert_eq!(found(&answer), everything);
        stream.ack(&answer, &[], &all.first);
        assert_eq!(found(&stream.due(&all.alone).unwrap()), everything[..2]);
        // Once it named something, no names are no names.
        assert_eq!(found(&stream.ask(&["default"], &all.alone).unwrap()), ["default"]);
        assert!(stream.ask(&[], &all.alone).is_none());
        assert!(stream.due(&all.first).is_none());
        // And everything is still to be had in xDS's word for it.
        assert_eq!(stream.ask(&["*", "ALL"], &all.first).unwrap().found.len(), 4);
    }

    #[test]
    fn a_first_request_waits_for_the_first_identity() {
        let now = Generations::new().first;
        let mut stream = Stream::default();
        let request = stream.request(&["default"]);
        assert!(stream.stream.request(&request, None).unwrap().answer.is_none());
        let request = stream.request(&["default", "ROOTCA"]);
        assert!(stream.stream.request(&request, None).unwrap().answer.is_none());
        let answer = stream.due(&now).unwrap();
        assert_eq!(found(&answer), ["ROOTCA", "default"]);
        stream.ack(&answer, &["default", "ROOTCA"], &now);
    }

    #[test]
    fn a_client_that_was_here_before_gets_the_same_version() {
        let world = World::new();
        let issued = world.payments();
        let (before, after) = (
            issued.secrets(Form::Spiffe),
            Secrets::new(world.again(&issued), Arc::default(), Form::Spiffe),
        );
        let first = Stream::default().ask(&["default"], &before).unwrap();
        let mut again = Stream {
            offered: first.version.to_string(),
            // Some clients keep it; it means nothing on a new stream.
            nonce: "5".to_owned(),
            ..Stream::default()
        };
        let second = again.ask(&["default"], &after).unwrap();
        assert_eq!(first.version, second.version);
        assert_eq!(first.found[0].1.body, second.found[0].1.body);
    }

    #[test]
    fn a_domain_that_comes_or_goes_is_told() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let name = "spiffe://other.example";
        let answer = stream.ask(&[name, "default"], &all.alone).unwrap();
        assert_eq!((found(&answer), missing(&answer)), (vec!["default"], vec![name]));
        stream.ack(&answer, &[name, "default"], &all.alone);
        let answer = stream.due(&all.first).unwrap();
        assert_eq!(found(&answer), ["default", name]);
        stream.ack(&answer, &[name, "default"], &all.first);
        assert_eq!(missing(&stream.due(&all.alone).unwrap()), [name]);
    }

    #[test]
    fn another_type_is_refused_and_none_is_ours() {
        let now = Generations::new().first;
        let mut request = Stream::default().request(&["default"]);
        request.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned();
        let refusal = Sotw::default().request(&request, Some(&now)).unwrap_err();
        assert!(
            refusal.to_string().contains("envoy.config.cluster.v3.Cluster"),
            "{refusal}"
        );
        request.type_url.clear();
        assert!(
            Sotw::default()
                .request(&request, Some(&now))
                .unwrap()
                .answer
                .is_some()
        );
    }

    #[test]
    fn all_bundles_in_one_trusted_ca_are_refused() {
        let plain = Generations::of(Form::Plain).first;
        let request = Stream::default().request(&["ALL"]);
        let refusal = Sotw::default().request(&request, Some(&plain)).unwrap_err();
        assert!(matches!(refusal, Refusal::Never { .. }));
        assert!(
            refusal
                .to_string()
                .starts_with("ALL: bundles of all trust domains"),
            "{refusal}"
        );
        // Beside others it takes nothing from them.
        let answer = Stream::default()
            .ask(&["ALL", "ROOTCA", "default"], &plain)
            .unwrap();
        assert_eq!(
            (found(&answer), missing(&answer)),
            (vec!["ROOTCA", "default"], vec!["ALL"])
        );
    }
}

mod increments {
    use super::*;

    /// A stream and the client at its other end.
    #[derive(Default)]
    struct Stream(Delta);

    /// What a client says beside names.
    #[derive(Default)]
    struct Said<'a> {
        has: &'a [(&'a str, &'a str)],
        nonce: &'a str,
        error: Option<rpc::Status>,
    }

    impl Stream {
        fn say(
            &mut self,
            more: &[&str],
            less: &[&str],
            said: Said<'_>,
            secrets: Option<&Secrets>,
        ) -> Outcome {
            let has = said
                .has
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
            let request = DeltaDiscoveryRequest {
                type_url: SECRET_TYPE.to_owned(),
                resource_names_subscribe: texts(more),
                resource_names_unsubscribe: texts(less),
                initial_resource_versions: has.collect::<BTreeMap<_, _>>(),
                response_nonce: said.nonce.to_owned(),
                error_detail: said.error,
                ..Default::default()
            };
            self.0.request(&request, secrets).unwrap()
        }

        fn ask(&mut self, more: &[&str], less: &[&str], secrets: &Secrets) -> Option<Answer> {
            self.say(more, less, Said::default(), Some(secrets)).answer
        }

        fn due(&mut self, secrets: &Secrets) -> Option<Answer> {
            self.0.due(secrets).unwrap()
        }
    }

    fn version(secrets: &Secrets, name: &str) -> String {
        secrets.find(name).unwrap().version.to_string()
    }

    #[test]
    fn only_what_changed_is_told() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default", "ROOTCA"], &[], &all.first).unwrap();
        assert_eq!(found(&first), ["ROOTCA", "default"]);
        assert!(stream.due(&all.first).is_none());
        let second = stream.due(&all.renewed).unwrap();
        assert_eq!(found(&second), ["default"]);
        assert_ne!(first.nonce, second.nonce);
        assert!(stream.due(&all.renewed).is_none());
    }

    #[test]
    fn names_come_and_go_in_any_request() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &[], &all.first).unwrap();
        // In an acknowledgement, and on its own, with no nonce or one that nobody knows.
        for (name, nonce) in [("ROOTCA", first.nonce.as_str()), ("ALL", ""), (OWN, "77")] {
            let said = Said {
                nonce,
                ..Said::default()
            };
            let answer = stream.say(&[name], &[], said, Some(&all.first)).answer.unwrap();
            assert_eq!(found(&answer), [name]);
        }
        assert!(stream.ask(&[], &["default", "ALL"], &all.first).is_none());
        assert_eq!(found(&stream.due(&all.renewed).unwrap()), [OWN]);
        // Never subscribed, never told.
        assert!(stream.ask(&[], &["nonsense"], &all.renewed).is_none());
    }

    #[test]
    fn a_name_that_is_asked_for_again_is_told_again() {
        let now = Generations::new().first;
        let mut stream = Stream::default();
        stream.ask(&["default", "nonsense"], &[], &now).unwrap();
        let again = stream.ask(&["default", "nonsense"], &[], &now).unwrap();
        assert_eq!(
            (found(&again), missing(&again)),
            (vec!["default"], vec!["nonsense"])
        );
        stream.ask(&[], &["default"], &now);
        assert_eq!(found(&stream.ask(&["default"], &[], &now).unwrap()), ["default"]);
    }

    #[test]
    fn what_is_not_there_is_told_once_and_again_when_it_comes_and_goes() {
        let all = Generations::new();
        let other = "spiffe://other.example";
        let mut stream = Stream::default();
        let answer = stream.ask(&[other], &[], &all.alone).unwrap();
        assert_eq!((found(&answer), missing(&answer)), (vec![], vec![other]));
        assert!(stream.due(&all.alone).is_none(), "told twice");
        assert_eq!(found(&stream.due(&all.first).unwrap()), [other]);
        assert_eq!(missing(&stream.due(&all.alone).unwrap()), [other]);
    }

    #[test]
    fn a_refusal_is_told_once_and_answered_with_nothing_until_there_is_something_else() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &[], &all.first).unwrap();
        for round in 0..3 {
            let said = Said {
                nonce: &first.nonce,
                error: error("bad key"),
                ..Said::default()
            };
            let outcome = stream.say(&[], &[], said, Some(&all.first));
            assert!(outcome.answer.is_none(), "a spin");
            assert_eq!(outcome.nack.is_some(), round == 0);
            assert!(stream.due(&all.first).is_none(), "the refused answer again");
        }
        assert_eq!(found(&stream.due(&all.renewed).unwrap()), ["default"]);
    }

    #[test]
    fn a_refusal_of_an_earlier_answer_is_told_by_its_version() {
        let all = Generations::new();
        let mut stream = Stream::default();
        let first = stream.ask(&["default"], &[], &all.first).unwrap();
        let second = stream.due(&all.renewed).unwrap();
        let said = |nonce| Said {
            nonce,
            error: error("late"),
            ..Said::default()
        };
        for answer in [&first, &second] {
            let outcome = stream.say(&[], &[], said(&answer.nonce), Some(&all.renewed));
            assert_eq!(outcome.nack.unwrap().version, answer.version);
        }
        assert!(
            stream
                .say(&[], &[], said("nobody's"), Some(&all.renewed))
                .nack
                .is_none()
        );
    }

    #[test]
    fn a_client_that_was_here_before_is_told_what_differs() {
        let all = Generations::new();
        let had = (version(&all.first, "default"), version(&all.first, "ROOTCA"));
        let has = [("default", &*had.0), ("ROOTCA", &*had.1)];
        let said = || Said {
            has: &has,
            ..Said::default()
        };
        let names = &["default", "ROOTCA"];
        // Nothing.
        let outcome = Stream::default().say(names, &[], said(), Some(&all.first));
        assert!(outcome.answer.is_none());
        // The certificate.
        let outcome = Stream::default().say(names, &[], said(), Some(&all.renewed));
        assert_eq!(found(&outcome.answer.unwrap()), ["default"]);
        // A name that it did not have.
        let outcome = Stream::default().say(&["default", "ALL"], &[], said(), Some(&all.first));
        assert_eq!(found(&outcome.answer.unwrap()), ["ALL"]);
        // A name that is no more there, and one whose version is not ours.
        let long = "x".repeat(bounds::LONGEST_VERSION + 1);
        let has = [("spiffe://other.example", "1"), ("default", &*long)];
        let said = Said {
            has: &has,
            ..Said::default()
        };
        let names = &["spiffe://other.example", "default"];
        let answer = Stream::default()
            .say(names, &[], said, Some(&all.alone))
            .answer
            .unwrap();
        assert_eq!(
            (found(&answer), missing(&answer)),
            (vec!["default"], vec!["spiffe://other.example"])
        );
    }

    #[test]
    fn what_a_client_has_counts_in_its_first_request_alone() {
        let all = Generations::new();
        let mut stream = Stream::default();
        stream.ask(&["ROOTCA"], &[], &all.first).unwrap();
        let version = version(&all.first, "default");
        let said = Said {
            has: &[("default", &version)],
            ..Said::default()
        };
        let answer = stream.say(&["default"], &[], said, Some(&all.first)).answer;
        assert_eq!(found(&answer.unwrap()), ["default"]);
    }

    #[test]
    fn without_names_at_first_it_is_everything() {
        let all = Generations::new();
        let everything = ["spiffe://example.org", OWN, "spiffe://other.example"];
        let mut stream = Stream::default();
        assert_eq!(found(&stream.ask(&[], &[], &all.first).unwrap()), everything);
        assert!(stream.ask(&[], &[], &all.first).is_none(), "an acknowledgement");
        assert_eq!(found(&stream.due(&all.renewed).unwrap()), [OWN]);
        let answer = stream.due(&all.alone).unwrap();
        assert_eq!(
            (found(&answer), removed(&answer)),
            (vec![OWN], vec!["spiffe://other.example"])
        );
        // Until it says otherwise.
        assert!(stream.ask(&[], &["*"], &all.alone).is_none());
        assert!(stream.due(&all.first).is_none());
        assert_eq!(found(&stream.ask(&["*"], &[], &all.first).unwrap()), everything);
    }

    #[test]
    fn who_has_everything_is_told_what_is_no_more() {
        let all = Generations::new();
        let own = version(&all.alone, OWN);
        let said = Said {
            has: &[(OWN, &own), ("spiffe://other.example", "1"), ("default", "2")],
            ..Said::default()
        };
        let answer = Stream::default()
            .say(&[], &[], said, Some(&all.alone))
            .answer
            .unwrap();
        assert_eq!(found(&answer), ["spiffe://example.org"]);
        assert_eq!(removed(&answer), ["default", "spiffe://other.example"]);
    }

    #[test]
    fn a_name_left_while_everything_is_wanted_is_told_as_it_is() {
        let now = Generations::new().first;
        let mut stream = Stream::default();
        let names = &["*", "default", OWN];
        assert_eq!(stream.ask(names, &[], &now).unwrap().found.len(), 4);
        let answer = stream.ask(&[], &["default", OWN], &now).unwrap();
        assert_eq!((found(&answer), removed(&answer)), (vec![OWN], vec!["default"]));
        assert!(stream.due(&now).is_none());
    }

    #[test]
    fn a_first_request_waits_for_the_first_identity() {
        let now = Generations::new().first;
        let mut stream = Stream::default();
        assert!(
            stream
                .say(&["default"], &[], Said::default(), None)
                .answer
                .is_none()
        );
        assert!(
            stream
                .say(&["ALL"], &["default"], Said::default(), None)
                .answer
                .is_none()
        );
        assert_eq!(found(&stream.due(&now).unwrap()), ["ALL"]);
    }

    #[test]
    fn all_bundles_in_one_trusted_ca_are_refused() {
        let plain = Generations::of(Form::Plain).first;
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: texts(&["ALL"]),
            ..Default::default()
        };
        let refusal = Delta::default().request(&request, Some(&plain)).unwrap_err();
        assert!(matches!(refusal, Refusal::Never { .. }));
        let answer = Stream::default().ask(&["ALL", "ROOTCA"], &[], &plain).unwrap();
        assert_eq!((found(&answer), missing(&answer)), (vec!["ROOTCA"], vec!["ALL"]));
    }
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
