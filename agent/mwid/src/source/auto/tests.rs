//! `auto` hands on the preferred inlet that has an identity, and tells what it tried.
use super::*;
use crate::shutdown::Shutdown;
use mtls_identity::Candidate;
use mtls_identity::candidate::CandidateBundles;
use std::fs;
use std::sync::Arc;
use testkit::guest_agent::{Agent, Secrets};

const PATIENCE: Duration = Duration::from_secs(10);

fn delivery(from: &str) -> Report {
    Report::Delivery(super::super::Delivery {
        candidate: Candidate {
            certificates_pem: vec![],
            private_key_pem: Vec::new().into(),
            bundles: CandidateBundles::OwnPem(vec![]),
        },
        kind: guest_agent::KIND,
        from: from.to_owned(),
        warning: None,
        seen_at: mtls_identity::UnixTime::since_unix_epoch(Duration::ZERO),
    })
}

fn trouble() -> Report {
    Report::Trouble(SourceError::Ended { kind: "x".to_owned() })
}

fn task() -> Task {
    let inlet = |name: &str| Tried {
        name: name.to_owned(),
        state: State::Silent,
    };
    Task {
        inlets: vec![inlet("first"), inlet("second")],
        out: mpsc::channel(1).0,
        ever_good: false,
    }
}

/// What is handed on beside `tried`.
fn handed_on(task: &mut Task, index: usize, report: Report) -> String {
    let mut out = task.decide(index, report);
    match out.pop() {
        Some(Report::Delivery(d)) => d.from,
        Some(Report::Trouble(e)) => e.reason().to_owned(),
        Some(Report::Tried(_)) | None => String::new(),
    }
}

#[test]
fn the_preferred_inlet_wins() {
    let mut task = task();
    assert_eq!(handed_on(&mut task, 1, trouble()), "nothing_found");
    assert_eq!(handed_on(&mut task, 1, delivery("second")), "second");
    assert_eq!(handed_on(&mut task, 0, trouble()), "", "the second has one");
    assert_eq!(handed_on(&mut task, 0, delivery("first")), "first");
    assert_eq!(
        handed_on(&mut task, 1, delivery("second")),
        "",
        "the first has one"
    );
    assert_eq!(handed_on(&mut task, 0, trouble()), "");
    assert_eq!(handed_on(&mut task, 1, delivery("second")), "second");
    assert_eq!(
        handed_on(&mut task, 1, trouble()),
        "ended",
        "its own trouble, once it was good"
    );
}

#[test]
fn what_was_tried_is_told_in_words() {
    let mut task = task();
    let Some(Report::Tried(tried)) = task.decide(0, trouble()).into_iter().next() else {
        panic!("tried");
    };
    assert_eq!(
        tried,
        [
            "first: the source x has ended; restart mwid",
            "second: no answer yet"
        ]
    );
}

#[tokio::test]
async fn an_identity_that_comes_later_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let parents = [root.join("run/secrets"), root.join("var/run/secrets")];
    let links = parents.iter().map(|p| Secrets::new(p).link()).collect();
    let (out, mut reports) = mpsc::channel(8);
    let shutdown = Shutdown::default();
    let origin = Origin {
        out,
        clock: Arc::new(rustls::time_provider::DefaultTimeProvider),
        stop: shutdown.child(),
        tasks: shutdown.clone(),
    };
    start(links, &origin);
    let mut troubles = 0;
    while troubles < 2 {
        match tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap() {
            Some(Report::Trouble(SourceError::NothingFound { tried })) => {
                assert_eq!(tried.len(), 2);
                troubles += 1;
            }
            Some(Report::Tried(_)) => {}
            _ => panic!("nothing can be delivered"),
        }
    }
    fs::create_dir_all(&parents[1]).unwrap();
    let files: [(&str, &[u8]); 3] = [
        ("certificates.pem", b"c"),
        ("private_key.pem", b"k"),
        ("ca_certificates.pem", b"r"),
    ];
    let mut secrets = Secrets::new(&parents[1]);
    secrets.replace(Agent::Current, &files);
    let found = loop {
        match tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap() {
            Some(Report::Delivery(delivery)) => break delivery,
            Some(_) => {}
            None => panic!("auto never ends"),
        }
    };
    assert_eq!(found.from, secrets.link().display().to_string());
    assert!(shutdown.stop(PATIENCE).await);
}
