//! The door: who asks, for which unit and which file, and whether it is given.
//!
//! In: a connection. Out: the file and the end of the connection, or more bytes than systemd takes. Never reads a byte: systemd sends none.
use super::Inputs;
use super::address::{self, Asked};
use super::refusal::Refusal;
use super::turns::Turns;
use crate::caller::{Visitor, What};
use crate::files;
use crate::http::listener::Accept as _;
use crate::http::{Listener, Stream};
use crate::report::Causes;
use mtls_identity::{IdentitySnapshot, UnixTime};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// The name of the door in the record.
const LISTENER: &str = "credential";
/// How long a unit's start waits for the first identity. systemd itself gives up after TimeoutStartSec=, 90 s without a word.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// How long the other side may take to read.
const READ: Duration = Duration::from_secs(10);
/// systemd's own limit for all credentials of a unit together.
const MOST_BYTES: usize = 1024 * 1024;
/// Connections of root at once; more of them wait with the kernel.
const CONNECTIONS: usize = 64;
/// And of all others together, who get nothing but why: more of them are not told even that. What they do never makes a unit's start wait.
pub(super) const OTHERS: usize = 4;
/// After a failed accept: a full file table passes.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers connections.
#[derive(Debug)]
pub(super) struct Door {
    inputs: Inputs,
    turns: Turns,
}

/// Serves until `stop`; then takes no new connection and gives up those that wait.
pub(super) async fn serve(door: Arc<Door>, mut listener: Listener, stop: CancellationToken) {
    let places = Places::default();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let place = tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    place = places.take(&stream) => place,
                };
                let Some(place) = place else {
                    door.turn_away(&stream);
                    continue;
                };
                let (door, stop) = (Arc::clone(&door), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = door.answer(stream) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(
                    listener = LISTENER,
                    error = &error as &dyn Error,
                    "cannot accept connections, trying on"
                );
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Who is not root, as the kernel says it, never has a place of those that systemd has.
struct Places {
    root: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            root: Arc::new(Semaphore::new(CONNECTIONS)),
            others: Arc::new(Semaphore::new(OTHERS)),
        }
    }
}

impl Places {
    /// Root waits for one; none for others while theirs are taken.
    async fn take(&self, stream: &Stream) -> Option<OwnedSemaphorePermit> {
        let is_root = match stream {
            Stream::Unix(unix) => unix.peer_cred().is_ok_and(|told| told.uid() == 0),
            Stream::Tcp(_) => false,
        };
        // They are never closed.
        match is_root {
            true => Arc::clone(&self.root).acquire_owned().await.ok(),
            false => Arc::clone(&self.others).try_acquire_owned().ok(),
        }
    }
}

impl Door {
    pub(super) fn new(inputs: Inputs) -> Self {
        Self {
            turns: Turns::of(inputs.identity.clone()),
            inputs,
        }
    }

    async fn answer(&self, mut stream: Stream) {
        let given = match self.file(&stream).await {
            Ok(bytes) => give(&mut stream, &bytes).await,
            Err(refusal) => {
                refuse(&mut stream, &refusal).await;
                Err(refusal)
            }
        };
        let outcome = given.as_ref().map_or_else(Refusal::outcome, |()| "given");
        self.inputs.metrics.answered(outcome);
        if let Err(refusal) = given
            && !refusal.is_on_record()
        {
            let error = &refusal as &dyn Error;
            tracing::warn!(listener = LISTENER, error, "a unit's credential was not given");
        }
    }

    /// Ends one that is not root's and has no place, without a word to it. Its coming is on the callers' record.
    fn turn_away(&self, stream: &Stream) {
        let visitor = self.inputs.access.meet_for_unit(stream, "", LISTENER);
        visitor.denied(What::Identity, &Refusal::Crowded.to_string());
        self.inputs.metrics.answered(Refusal::Crowded.outcome());
    }

    async fn file(&self, stream: &Stream) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let Stream::Unix(unix) = stream else {
            return Err(Refusal::Address);
        };
        let address = unix.peer_addr().map_err(|_| Refusal::Address)?;
        let asked = address.as_abstract_name().and_then(address::parse);
        let Asked { unit, credential } = asked.ok_or(Refusal::Address)?;
        let visitor = self.inputs.access.meet_for_unit(stream, unit, LISTENER);
        let given = self.find(&visitor, unit, credential).await;
        match &given {
            Ok(_) => visitor.granted(What::Identity),
            // Its coming is on record.
            Err(Refusal::Denied(_)) => {}
            Err(why) => visitor.denied(What::Identity, &Causes(why).to_string()),
        }
        given
    }

    async fn find(
        &self,
        visitor: &Visitor,
        unit: &str,
        credential: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let present = timeout(WAIT, self.identity(visitor, credential));
        let present = present.await.map_err(|_| Refusal::NoIdentity)??;
        let good = |identity: &IdentitySnapshot| is_valid(identity, self.now());
        let identity = match visitor.process_key() {
            Some(process) => self.turns.take(process, unit, present, good),
            None => present,
        };
        let (name, now, made_of) = (credential.to_owned(), self.now(), Arc::clone(&identity));
        // A store's password is stretched by tens of thousands of rounds.
        let made = tokio::task::spawn_blocking(move || files::named(&made_of, &name, now)).await;
        let file = made.map_err(|_| Refusal::Worker)?.map_err(Refusal::Files)?;
        let bytes = file.ok_or(Refusal::NoFile)?.bytes;
        if bytes.len() > MOST_BYTES {
            return Err(Refusal::Size {
                size: bytes.len(),
                most: MOST_BYTES,
            });
        }
        self.check_again(visitor, &identity)?;
        Ok(bytes)
    }

    /// Making the file takes a while: whether it may be given is decided by what holds when it goes.
    fn check_again(&self, visitor: &Visitor, identity: &IdentitySnapshot) -> Result<(), Refusal> {
        if !visitor.grant().map_err(Refusal::Denied)?.identity {
            return Err(Refusal::NotGranted);
        }
        // What may be served is decided by its name.
        let present = self.inputs.identity.current();
        let is_served = present.is_some_and(|present| present.id() == identity.id());
        if is_served && is_valid(identity, self.now()) {
            Ok(())
        } else {
            Err(Refusal::NoIdentity)
        }
    }

    /// The present identity, once there is one; the rules count all the time.
    async fn identity(&self, visitor: &Visitor, credential: &str) -> Result<Arc<IdentitySnapshot>, Refusal> {
        let (mut reader, mut watch) = (self.inputs.identity.clone(), visitor.watch());
        loop {
            let grant = visitor.grant().map_err(Refusal::Denied)?;
            if !grant.identity {
                return Err(Refusal::NotGranted);
            }
            if files::set_of(credential).is_none() {
                return Err(Refusal::NoFile);
            }
            let present = self.inputs.identity.current();
            if let Some(present) = present.filter(|present| is_valid(present, self.now())) {
                return Ok(present);
            }
            tokio::select! {
                next = reader.changed() => drop(next.ok_or(Refusal::NoIdentity)?),
                () = watch.changed() => {}
            }
        }
    }

    fn now(&self) -> UnixTime {
        // Without a clock nothing is valid.
        let clock = self.inputs.clock.current_time();
        clock.unwrap_or(UnixTime::since_unix_epoch(Duration::MAX))
    }
}

fn is_valid(identity: &IdentitySnapshot, now: UnixTime) -> bool {
    (identity.not_before()..=identity.not_after()).contains(&now)
}

async fn give(stream: &mut Stream, bytes: &[u8]) -> Result<(), Refusal> {
    let written = timeout(READ, async {
        stream.write_all(bytes).await?;
        stream.shutdown().await
    });
    written.await.map_err(|_| Refusal::Slow)?.map_err(Refusal::Write)
}

/// More than systemd takes: it would start the unit with an empty credential if it got nothing. Should one read it for all that, it says why.
async fn refuse(stream: &mut Stream, refusal: &Refusal) {
    let mut text = format!("mwid does not give this credential: {}\n", Causes(refusal)).into_bytes();
    text.resize(2 * MOST_BYTES, b'\n');
    // It stops reading on the way, and closes.
    drop(timeout(READ, stream.write_all(&text)).await);
}
