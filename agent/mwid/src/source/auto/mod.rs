//! Source `auto`: whichever source this machine has.
//!
//! In: the inlets of the platform, in order of preference. Out: the reports of the first that has an identity, and what was tried.
//! Never fails the start and never gives up: all inlets are watched for ever, none is asked in a loop.
use super::{Origin, Report, SourceError, guest_agent};
use crate::report::Causes;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) const KIND: &str = "auto";

/// Where Google's guest agents put the link, and SPIFFE Filesystem Delivery looks, by both names of the directory.
const DIRECTORIES: [&str; 2] = [
    "/run/secrets/workload-spiffe-credentials",
    "/var/run/secrets/workload-spiffe-credentials",
];

const POLL: Duration = Duration::from_secs(30);

/// The directories to watch; the second only where `/var/run` is not `/run`.
pub(super) fn directories() -> Vec<PathBuf> {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    let one = real("/var/run").is_none_or(|var_run| Some(var_run) == real("/run"));
    DIRECTORIES
        .iter()
        .take(if one { 1 } else { DIRECTORIES.len() })
        .map(PathBuf::from)
        .collect()
}

/// What is known of one inlet.
enum State {
    Silent,
    Good,
    Trouble(String),
}

struct Tried {
    name: String,
    state: State,
}

pub(super) fn start(directories: Vec<PathBuf>, origin: &Origin) {
    let mut inlets = Vec::new();
    let mut reports = Vec::new();
    for directory in directories {
        let (out, inlet) = mpsc::channel(super::MOST_REPORTS);
        inlets.push(Tried {
            name: format!("{} {}", guest_agent::KIND, directory.display()),
            state: State::Silent,
        });
        let origin = Origin {
            out,
            ..origin.clone()
        };
        guest_agent::start(&directory, POLL, &origin);
        reports.push(inlet);
    }
    let task = Task {
        inlets,
        out: origin.out.clone(),
        ever_good: false,
    };
    let stop = origin.stop.clone();
    origin.tasks.spawn(async move {
        tokio::select! {
            () = task.run(reports) => {}
            () = stop.asked() => {}
        }
    });
}

struct Task {
    inlets: Vec<Tried>,
    out: mpsc::Sender<Report>,
    ever_good: bool,
}

impl Task {
    async fn run(mut self, mut reports: Vec<mpsc::Receiver<Report>>) {
        while let Some((index, report)) = next(&mut reports).await {
            for report in self.decide(index, report) {
                if self.out.send(report).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What of an inlet's report is handed on.
    fn decide(&mut self, index: usize, report: Report) -> Vec<Report> {
        let state = match &report {
            Report::Delivery(_) => State::Good,
            Report::Trouble(e) => State::Trouble(Causes(e).to_string()),
            Report::Tried(_) => return vec![],
        };
        let Some(inlet) = self.inlets.get_mut(index) else {
            return vec![];
        };
        inlet.state = state;
        let preferred = self.inlets.iter().position(|i| matches!(i.state, State::Good));
        let mut out = vec![Report::Tried(self.tried())];
        match (report, preferred) {
            (report @ Report::Delivery(_), Some(first)) if first == index => {
                self.ever_good = true;
                out.push(report);
            }
            // Another inlet has an identity; this one's trouble is told in `tried`.
            (_, Some(_)) => {}
            (report, None) if self.ever_good => out.push(report),
            (_, None) => out.push(Report::Trouble(SourceError::NothingFound { tried: self.tried() })),
        }
        out
    }

    fn tried(&self) -> Vec<String> {
        self.inlets
            .iter()
            .map(|inlet| {
                let state = match &inlet.state {
                    State::Silent => "no answer yet",
                    State::Good => "has an identity",
                    State::Trouble(why) => why,
                };
                format!("{}: {state}", inlet.name)
            })
            .collect()
    }
}

/// The next report of any inlet, with its place; `None` when all have ended.
async fn next(reports: &mut [mpsc::Receiver<Report>]) -> Option<(usize, Report)> {
    std::future::poll_fn(|context| {
        let mut open = false;
        for (index, inlet) in reports.iter_mut().enumerate() {
            match inlet.poll_recv(context) {
                std::task::Poll::Ready(Some(report)) => return std::task::Poll::Ready(Some((index, report))),
                std::task::Poll::Ready(None) => {}
                std::task::Poll::Pending => open = true,
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(None)
        }
    })
    .await
}

#[cfg(test)]
mod tests;
