//! A run: who is denied, what is said, the checks side by side, then a rotation and its checks. In: options. Out: a line a check.
mod rotated;

pub use rotated::{Push, Rotated, Tag};

use crate::checks::{Check, Finding, Look, Outcome, all};
use crate::denied::Verdicts;
use crate::options::{Options, Rotation};
use crate::seen::{Reach, Server};
use crate::wire::{Trouble, within};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

/// One check and what came of it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The check.
    pub check: &'static Check,
    /// What came of it.
    pub outcome: Outcome,
}

impl Line {
    /// Whether the sentence is broken.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Err(Finding::Fails(_)))
    }

    /// Whether nobody could look.
    pub fn skipped(&self) -> bool {
        matches!(self.outcome, Err(Finding::Skipped(_)))
    }
}

/// Runs the checks that are wanted. `now` is since the epoch. `Err`: there is no server.
pub async fn run(
    options: Options,
    wanted: impl Fn(&Check) -> bool,
    now: Duration,
) -> Result<Vec<Line>, Trouble> {
    let checks: Vec<&'static Check> = all().filter(|check| wanted(check)).collect();
    let (after, before): (Vec<_>, Vec<_>) = checks.into_iter().partition(|check| is_rotation(check));
    let rotate = !after.is_empty() && !matches!(options.rotation, Rotation::NoWay);
    let denied = Verdicts::by(&options).await;
    let began = Instant::now();
    let mut server = Server::meet(options, now, denied).await?;
    // The clock goes on: what is issued while we look is judged by the time at which it came.
    server.now = now + began.elapsed();
    let mut lines = join_all(before.into_iter().map(|check| look(&server, check))).await;
    if rotate && matches!(server.reach, Reach::Fine) {
        server.rotated = Some(Rotated::watch(&server).await);
        server.now = now + began.elapsed();
    }
    lines.extend(join_all(after.into_iter().map(|check| look(&server, check))).await);
    Ok(lines)
}

fn is_rotation(check: &Check) -> bool {
    check.id.starts_with("rotation.")
}

/// Looks, unless there is nothing to look at: a server that cannot be spoken to breaks one sentence, not all of them.
async fn look(server: &Server, check: &'static Check) -> Line {
    let (reached, why): (&[&str], _) = match &server.reach {
        Reach::Fine => (&[], ""),
        Reach::NoPlaintext(_) => (&[], "the server cannot be spoken to: see endpoint.plaintext"),
        Reach::NotGrpc(_) => (
            &["endpoint.grpc"],
            "the server does not speak gRPC: see endpoint.grpc",
        ),
        Reach::Unauthenticated(_) => (
            &["endpoint.grpc", "endpoint.no-authentication"],
            "the server wants credentials: see endpoint.no-authentication",
        ),
    };
    let always = ["endpoint.plaintext", "endpoint.unix"];
    let fine = matches!(server.reach, Reach::Fine);
    let outcome = if fine || always.contains(&check.id) || reached.contains(&check.id) {
        match check.look {
            Look::At(look) => look(server),
            Look::Ask(ask) => {
                let limit = server.options.times.patience * 6;
                match within(limit, ask(server)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Finding::Fails(format!("the check did not end within {limit:?}"))),
                }
            }
        }
    } else {
        Err(Finding::Skipped(why.to_owned()))
    };
    Line { check, outcome }
}
