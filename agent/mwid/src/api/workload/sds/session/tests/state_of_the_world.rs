//! `StreamSecrets`.
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
