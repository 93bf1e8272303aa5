//! A store that follows a directory. In: a path, a prover, a clock. Out: a reader whose identity is the newest proven one of the
//! directory. Never displaces a good identity by one that fails, never makes a generation of unchanged bytes.
mod status;

pub use status::{FollowError, FollowStatus, FollowTrouble};

use super::read::{ReadError, read_set};
use super::watch::{Hint, Watch, WatchStopper};
use crate::Clock;
use crate::candidate::Candidate;
use crate::check::{Prover, Refusal};
use crate::store::{Reader, Writer, store};
use pki_types::UnixTime;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// While a candidate waits for its time the clock is looked at this often, because clocks are set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How to follow a directory.
#[derive(Clone)]
pub struct FollowOptions {
    prover: Prover,
    clock: Clock,
    poll: Duration,
}

impl std::fmt::Debug for FollowOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowOptions")
            .field("prover", &self.prover)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

impl FollowOptions {
    /// Candidates are proven by `prover`, at the time that `clock` says. Polls every 30 seconds.
    pub fn new(prover: Prover, clock: Clock) -> Self {
        Self {
            prover,
            clock,
            poll: Duration::from_secs(30),
        }
    }

    /// How often the directory is read without a notification.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }
}

/// The thread that follows a directory. Dropped, it stops; the identity in the store stays, until its `not_after`.
#[derive(Debug)]
pub struct Follower {
    stopper: WatchStopper,
    status: watch::Receiver<FollowStatus>,
}

impl Follower {
    /// How it goes. [`watch::Receiver::changed`] waits for news.
    pub fn status(&self) -> watch::Receiver<FollowStatus> {
        self.status.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

/// Follows the directory that `path` leads to. The first read is done before this returns, so a good directory gives an identity
/// at once; a bad or missing one is no error, it is waited for.
///
/// # Errors
///
/// Only when no thread can be started.
///
/// ```
/// use mtls_identity::dir::{FollowOptions, follow};
/// use mtls_identity::Prover;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
/// let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
/// let options = FollowOptions::new(Prover::new(provider), clock);
/// let (reader, follower) = follow("/run/secrets/workload-spiffe-credentials", options)?;
///
/// // Give `reader` to the rustls configs of this crate; they use the newest identity in each handshake.
/// match reader.current() {
///     Some(identity) => println!("I am {}", identity.id().as_str()),
///     None => println!("not yet: {:?}", follower.status().borrow().trouble()),
/// }
/// # Ok(())
/// # }
/// ```
pub fn follow(path: impl AsRef<Path>, options: FollowOptions) -> Result<(Reader, Follower), FollowError> {
    let (writer, reader) = store();
    let (status, seen) = watch::channel(FollowStatus::default());
    let mut watch = Watch::new(path.as_ref(), options.poll);
    let stopper = watch.stopper();
    let mut task = Task {
        path: path.as_ref().to_owned(),
        options,
        writer,
        status,
        waiting: None,
        failures: 0,
    };
    watch.wait(None);
    task.look(&watch);
    std::thread::Builder::new()
        .name("mtls-identity".to_owned())
        .spawn(move || task.run(watch))
        .map_err(FollowError::Thread)?;
    Ok((
        reader,
        Follower {
            stopper,
            status: seen,
        },
    ))
}

struct Task {
    path: PathBuf,
    options: FollowOptions,
    writer: Writer,
    status: watch::Sender<FollowStatus>,
    /// A candidate whose time comes.
    waiting: Option<(Candidate, UnixTime)>,
    /// Reads in a row that did not hold together.
    failures: usize,
}

impl Task {
    fn run(&mut self, mut watch: Watch) {
        loop {
            match watch.wait(self.limit()) {
                Hint::Changed => {
                    self.failures = 0;
                    self.look(&watch);
                }
                Hint::Poll => self.look(&watch),
                Hint::Limit => match self.waiting.take() {
                    Some((candidate, _)) => self.prove(candidate),
                    None => self.look(&watch),
                },
                Hint::Stopped => return,
            }
        }
    }

    /// How long to wait if the directory is silent.
    fn limit(&self) -> Option<Duration> {
        if let Some((_, at)) = &self.waiting {
            let left = at.as_secs().saturating_sub(self.now().as_secs());
            return Some(Duration::from_secs(left.max(1)).min(LONGEST_WAIT));
        }
        self.failures
            .checked_sub(1)
            .and_then(|n| super::RETRY_AFTER.get(n).copied())
    }

    fn look(&mut self, watch: &Watch) {
        let watch_trouble = watch.trouble().map(ToString::to_string);
        match read_set(&self.path) {
            Ok(reading) => {
                let now = self.now();
                self.status.send_modify(|s| {
                    s.set_read(now, reading.config_status, watch_trouble);
                });
                self.prove(reading.candidate);
            }
            Err(e) => {
                self.waiting = None;
                self.failed(e.is_transient());
                self.trouble(FollowTrouble::Read(e), watch_trouble);
            }
        }
    }

    fn prove(&mut self, candidate: Candidate) {
        self.waiting = None;
        match self.options.prover.prove(&candidate, self.now()) {
            Ok(snapshot) => {
                self.failures = 0;
                // First, so that whom the new identity wakes does not find the old trouble.
                self.status.send_if_modified(FollowStatus::clear_trouble);
                self.writer.publish(snapshot);
            }
            Err(refusal) => {
                match refusal.retry_at() {
                    Some(at) => self.waiting = Some((candidate, at)),
                    // A half-written set in place looks like this, too.
                    None => self.failed(true),
                }
                self.refused(refusal);
            }
        }
    }

    fn failed(&mut self, again: bool) {
        self.failures = if again { self.failures.saturating_add(1) } else { 0 };
    }

    fn refused(&self, refusal: Refusal) {
        self.trouble(FollowTrouble::Refused(refusal), None);
    }

    fn trouble(&self, trouble: FollowTrouble, watch_trouble: Option<String>) {
        self.status
            .send_modify(|s| s.set_trouble(Arc::new(trouble), watch_trouble));
    }

    /// A clock that cannot say the time proves nothing: at the epoch no certificate is valid yet.
    fn now(&self) -> UnixTime {
        self.options
            .clock
            .current_time()
            .unwrap_or_else(|| UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests;
