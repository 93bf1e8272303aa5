//! `auto` hands on the preferred inlet that has an identity, and tells what it tried.
use super::*;
use crate::metadata::Server;
use crate::shutdown::Shutdown;
use mtls_identity::Candidate;
use mtls_identity::candidate::CandidateBundles;
use std::fs;
use std::sync::Arc;
use testkit::guest_agent::{Agent, Secrets};

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    testkit::metadata::Server::start().address()
}

const PATIENCE: Duration = Duration::from_secs(10);

fn delivery(from: &str) -> Report {
    Report::Delivery(super::super::Delivery {
        candidate: Candidate {
            certificates_pem: vec![].into(),
            private_key_pem: Vec::new().into(),
            bundles: CandidateBundles::OwnPem(vec![]),
        },
        kind: guest_agent::KIND,
        from: from.to_owned(),
        warning: None,
        seen_at: mtls_identity::UnixTime::since_unix_epoch(Duration::ZERO),
        verdict: None,
        minter: None,
    })
}

fn trouble() -> Report {
    Report::Trouble(SourceError::Ended { kind: "x".to_owned() })
}

fn task() -> Task {
    let inlet = |name: &str| Tried {
        name: name.to_owned(),
        state: State::Silent,
        want: None,
    };
    Task {
        inlets: vec![inlet("first"), inlet("second")],
        out: mpsc::channel(1).0,
        chosen: None,
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
    assert_eq!(handed_on(&mut task, 1, trouble()), "", "the first has not spoken");
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
        "nothing_found",
        "not its own trouble: two in turns would fill the log"
    );
}

#[test]
fn a_server_is_asked_only_while_nothing_before_it_has_an_identity() {
    let mut task = task();
    let mut wanted = vec![];
    for name in ["third", "fourth"] {
        let (want, asked) = watch::channel(false);
        task.inlets.push(Tried {
            name: name.to_owned(),
            state: State::Parked,
            want: Some(want),
        });
        wanted.push(asked);
    }
    let mut step = |index, report, handed, asked: [bool; 2]| {
        assert_eq!(handed_on(&mut task, index, report), handed);
        assert_eq!(wanted.iter().map(|w| *w.borrow()).collect::<Vec<_>>(), asked);
    };
    step(0, trouble(), "", [false, false]);
    step(1, trouble(), "", [true, false]);
    step(2, trouble(), "", [true, true]);
    step(3, trouble(), "nothing_found", [true, true]);
    step(3, delivery("fourth"), "fourth", [true, true]);
    step(2, trouble(), "", [true, true]);
    step(2, delivery("third"), "third", [true, false]);
    step(1, delivery("second"), "second", [false, false]);
    // What was on its way from one that is not asked any more counts no longer than until the next word.
    step(1, trouble(), "", [true, false]);
    step(2, trouble(), "", [true, true]);
    step(3, trouble(), "nothing_found", [true, true]);
}

#[test]
fn an_inlet_whose_candidate_is_refused_does_not_keep_a_server_from_being_asked() {
    let mut task = task();
    let (want, asked) = watch::channel(false);
    task.inlets.push(Tried {
        name: "server".to_owned(),
        state: State::Parked,
        want: Some(want),
    });
    assert_eq!(handed_on(&mut task, 1, trouble()), "");
    assert_eq!(handed_on(&mut task, 0, delivery("first")), "first");
    assert!(!*asked.borrow());
    task.judged(0, false);
    assert!(*asked.borrow(), "the first has nothing that could be proven");
    assert_eq!(handed_on(&mut task, 2, delivery("server")), "server");
    task.judged(2, true);
    // The files are still there at each poll: tried again, but the server goes on being asked.
    assert_eq!(handed_on(&mut task, 0, delivery("first")), "first");
    assert!(*asked.borrow());
    task.judged(0, false);
    assert!(
        task.tried().first().unwrap().ends_with("refused"),
        "{:?}",
        task.tried()
    );
    assert_eq!(handed_on(&mut task, 2, delivery("server")), "server");
    // Mended: the server may rest.
    assert_eq!(handed_on(&mut task, 0, delivery("first")), "first");
    task.judged(0, true);
    assert!(!*asked.borrow());
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
        server: Server {
            http: nobody(),
            grpc: nobody(),
            expected: true,
        },
        stop: shutdown.child(),
        tasks: shutdown.clone(),
    };
    start(links, &origin);
    loop {
        match tokio::time::timeout(PATIENCE, reports.recv()).await.unwrap() {
            Some(Report::Trouble(SourceError::NothingFound { tried })) => {
                assert!(
                    tried.len() > 2 && tried.iter().all(|t| t.contains(": ")),
                    "{tried:?}"
                );
                break;
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
