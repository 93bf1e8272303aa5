//! One writer, many readers.
//!
//! In: proven identities, from the one writer. Out: the current one, and a wake for each that differs. Never blocks a
//! reader, never merges, never goes back.

#[cfg(test)]
mod tests;

use crate::snapshot::IdentitySnapshot;
use std::sync::Arc;
use tokio::sync::watch;

/// A store without an identity.
///
/// ```
/// # let world = testkit::pki::World::new("example.org");
/// # let delivered = world.leaf("/ns/shop/sa/payments");
/// # let candidate = mtls_identity::Candidate {
/// #     certificates_pem: delivered.chain_pem.into_bytes().into(),
/// #     private_key_pem: delivered.key_pem.into_bytes().into(),
/// #     bundles: mtls_identity::candidate::CandidateBundles::OwnPem(world.root.cert_pem.into_bytes()),
/// # };
/// # use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
/// # let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
/// # let now = DefaultTimeProvider.current_time().ok_or("no clock")?;
/// # let identity = mtls_identity::Prover::new(provider).prove(&candidate, now)?;
/// let (mut writer, reader) = mtls_identity::store();
/// assert!(reader.current().is_none());
///
/// writer.publish(identity); // from Prover::prove
/// assert_eq!(reader.generation(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn store() -> (Writer, Reader) {
    let (tx, rx) = watch::channel(None);
    (Writer { tx, generation: 0 }, Reader { rx })
}

/// The only way to change the store. Not `Clone`.
#[derive(Debug)]
pub struct Writer {
    tx: watch::Sender<Option<Arc<IdentitySnapshot>>>,
    /// Of the last published identity.
    generation: u64,
}

/// What publishing did.
#[derive(Debug)]
pub enum Published {
    /// The identity differs from the one before; readers see it now.
    New(Arc<IdentitySnapshot>),
    /// The same identity as before, but this proof holds for another time, because another root vouched for it. Readers see
    /// the new times under the old generation, and are not woken.
    Retimed(Arc<IdentitySnapshot>),
    /// The same identity as before; the generation stays.
    Unchanged,
}

impl Writer {
    /// Counts on from a generation that a process before this one reached, so that what was published on disk and what
    /// logs say keep growing over a restart. Never counts back.
    #[must_use]
    pub fn starting_after(mut self, generation: u64) -> Self {
        self.generation = self.generation.max(generation);
        self
    }

    /// Switches the store to a proven identity, unless it is the same as before: same key, same chain, same bundles.
    pub fn publish(&mut self, snapshot: IdentitySnapshot) -> Published {
        let current = self.tx.borrow().clone();
        if let Some(current) = current.filter(|current| current.same_identity(&snapshot)) {
            return self.retime(&current, snapshot);
        }
        self.generation += 1;
        let published = Arc::new(IdentitySnapshot {
            generation: self.generation,
            ..snapshot
        });
        self.tx.send_replace(Some(published.clone()));
        Published::New(published)
    }

    /// The newest proof says from when until when: which root vouches may differ from poll to poll.
    fn retime(&self, current: &IdentitySnapshot, proven: IdentitySnapshot) -> Published {
        let times = |identity: &IdentitySnapshot| (identity.not_before(), identity.not_after());
        if times(current) == times(&proven) {
            return Published::Unchanged;
        }
        let published = Arc::new(IdentitySnapshot {
            generation: current.generation,
            ..proven
        });
        self.tx.send_if_modified(|seen| {
            *seen = Some(published.clone());
            false
        });
        Published::Retimed(published)
    }

    /// Takes the identity away, because it may not be used any more: readers see none from now on. The generation counts on
    /// with the next.
    ///
    /// [`Reader::changed`] does not return for this, [`Reader::switched`] does; who looks at [`Reader::current`] in each handshake sees
    /// it at once.
    pub fn clear(&mut self) -> Option<Arc<IdentitySnapshot>> {
        self.tx.send_replace(None)
    }
}

/// Sees the store's current identity. Clones see the same store; each has its own memory of what it was woken for.
#[derive(Clone, Debug)]
pub struct Reader {
    rx: watch::Receiver<Option<Arc<IdentitySnapshot>>>,
}

impl Reader {
    /// The current identity.
    pub fn current(&self) -> Option<Arc<IdentitySnapshot>> {
        self.rx.borrow().clone()
    }

    /// The current generation, 0 before the first.
    pub fn generation(&self) -> u64 {
        self.rx.borrow().as_ref().map_or(0, |s| s.generation())
    }

    /// Waits for an identity that this method of this reader has not returned yet, and returns the newest. `None` when
    /// the writer is gone and there is no more to see.
    ///
    /// Nothing is missed: what was published before the first call, also between the reader's making and that call, is
    /// returned by it. Of two identities published in a row only the newer may be seen. Cancelling the wait loses nothing.
    pub async fn changed(&mut self) -> Option<Arc<IdentitySnapshot>> {
        loop {
            self.rx.changed().await.ok()?;
            // None: the identity was taken away; the next one is what the caller waits for.
            if let Some(identity) = self.rx.borrow_and_update().clone() {
                return Some(identity);
            }
        }
    }

    /// Waits until the store was switched to another identity, or to none; [`Reader::current`] tells to which. False when the
    /// writer is gone: then it never will be again.
    ///
    /// For those who hand the identity on, and must take it back. It shares its memory with [`Reader::changed`]: what one of
    /// them has returned for, the other does not. Nothing is missed, as there; several switches in a row may be one.
    pub async fn switched(&mut self) -> bool {
        self.rx.changed().await.is_ok()
    }
}
