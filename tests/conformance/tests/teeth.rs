//! Each check can fail: the whole list against the model that conforms, and against one model a check that breaks its sentence.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use futures_util::StreamExt;
use spiffe_conformance::checks::{self, Check, Finding};
use spiffe_conformance::endpoint::Endpoint;
use spiffe_conformance::model::{Flaw, Model};
use spiffe_conformance::options::{Denied, Options, Rotation, SdsNames, Times};
use spiffe_conformance::run::{Line, run};
use std::path::Path;
use std::time::Duration;

const TIMES: Times = Times {
    patience: Duration::from_secs(6),
    prompt: Duration::from_secs(3),
    quiet: Duration::from_millis(400),
    rotation: Duration::from_secs(3),
};

/// Where one wire fact breaks two sentences, or can.
const TOGETHER: &[(&str, &[&str])] = &[
    // A CA in the leaf's place is no end of a path.
    ("leaf.not-ca", &["x509.path", "secret.path", "rotation.path"]),
    // An ID that is no name is one of those names.
    ("secret.by-id", &["secret.many-names"]),
    ("secret.by-domain", &["secret.many-names"]),
    // What comes after an ACK comes after any request.
    ("sds.ack-silent", &["sds.no-names"]),
];

#[expect(clippy::disallowed_methods, reason = "a test's door: certificates are of now")]
fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
}

async fn look(directory: &Path, check: Option<&'static Check>) -> Vec<Line> {
    let name = check.map_or("good", |check| check.id);
    let endpoint = if name == "endpoint.unix" {
        Endpoint::Tcp("127.0.0.1:0".parse().unwrap())
    } else {
        Endpoint::Unix(directory.join(name))
    };
    let flaw = check.map_or(Flaw::none(), |check| Flaw::of(check.id));
    let model = Model::start(&endpoint, flaw, TIMES.prompt + Duration::from_millis(500), now())
        .await
        .unwrap();
    let audience = "spiffe-conformance".to_owned();
    let options = Options {
        endpoint: model.endpoint.clone(),
        sds: Some(SdsNames::default()),
        expired_jwt: Some(model.expired_jwt(&audience)),
        audience,
        denied: Denied::At(model.denied.clone()),
        rotation: Rotation::Call(model.rotation()),
        times: TIMES,
    };
    run(options, |_| true, now()).await.unwrap()
}

fn told(line: &Line) -> String {
    match &line.outcome {
        Ok(seen) => format!("{} passed: {seen}", line.check.id),
        Err(Finding::Fails(why)) => format!("{} failed: {why}", line.check.id),
        Err(Finding::Skipped(why)) => format!("{} skipped: {why}", line.check.id),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_conforms_passes_every_check() {
    let directory = tempfile::tempdir().unwrap();
    let lines = look(directory.path(), None).await;
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| line.outcome.is_err())
        .map(told)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(lines.len(), checks::all().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_check_finds_the_server_that_breaks_its_sentence_and_no_other_check_does() {
    let directory = tempfile::tempdir().unwrap();
    let wrong: Vec<String> = futures_util::stream::iter(checks::all())
        .map(|check| look_at_broken(directory.path(), check))
        .buffer_unordered(12)
        .collect::<Vec<_>>()
        .await
        .concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with a check.
async fn look_at_broken(directory: &Path, check: &'static Check) -> Vec<String> {
    let also: &[&str] = TOGETHER
        .iter()
        .find(|(id, _)| *id == check.id)
        .map_or(&[], |(_, also)| also);
    look(directory, Some(check))
        .await
        .iter()
        .filter(|line| line.failed() != (line.check.id == check.id) && !also.contains(&line.check.id))
        .map(|line| format!("with {} broken, {}", check.id, told(line)))
        .collect()
}
