//! `DeltaSecrets`.
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
    fn say(&mut self, more: &[&str], less: &[&str], said: Said<'_>, secrets: Option<&Secrets>) -> Outcome {
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
