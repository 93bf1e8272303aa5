//! One writer, many readers.
use crate::snapshot::IdentitySnapshot;
use std::sync::Arc;
use tokio::sync::watch;

/// A store without an identity.
pub fn store() -> (Writer, Reader) {
    let (tx, rx) = watch::channel(None);
    (Writer { tx }, Reader { rx })
}

/// The only way to change the store. Not `Clone`.
#[derive(Debug)]
pub struct Writer {
    tx: watch::Sender<Option<Arc<IdentitySnapshot>>>,
}

/// What publishing did.
#[derive(Debug)]
pub enum Published {
    /// The identity differs from the one before; readers see it now.
    New(Arc<IdentitySnapshot>),
    /// The same identity as before; the generation stays.
    Unchanged,
}

impl Writer {
    /// Switches the store to a proven identity, unless it is the same as before.
    pub fn publish(&mut self, _snapshot: IdentitySnapshot) -> Published {
        let _ = &self.tx;
        todo!()
    }
}

/// Sees the store's current identity.
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
    /// Waits for the next identity. `None` when the writer is gone.
    pub async fn changed(&mut self) -> Option<Arc<IdentitySnapshot>> {
        todo!()
    }
}
