//! One signal to stop, seen by every task, and a list of the tasks to wait for.
use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// In: somebody's wish to stop. Out: a token that every long task selects on. Never kills a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A part that can be stopped alone (by reload) and stops with the whole.
    pub(crate) fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs a task that [`Shutdown::stop`] waits for.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Returns when stopping was asked for.
    pub(crate) async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// The bare token, for rooms on this floor, which may not name this one.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks every task to stop, without waiting.
    pub(crate) fn ask(&self) {
        self.token.cancel();
    }

    /// Asks every task to stop and waits for them, no longer than `patience`. True when all have ended.
    pub(crate) async fn stop(&self, patience: Duration) -> bool {
        self.token.cancel();
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }
}
