//! The timer of the caches over one source. In: when something is due, clocks that were set. Out: fetches that begin unasked, expired tokens
//! that are gone, a health board that is true. Never ticks: without anything kept it sleeps for good.
use super::base::Base;
use super::times::Moment;
use super::{Bounds, Cache};
use crate::clock::ClockJumps;
use crate::tokens::{AccessAsk, Account, IdAsk};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Between two looks at everything: what is due within it is looked at together.
const TOGETHER: Duration = Duration::from_millis(250);

/// Room for tokens, of each kind: some 2 kB each with its question and its answer.
const TOKENS: Bounds = Bounds {
    entries: 4096,
    bytes: 8 * 1024 * 1024,
};

const ACCOUNTS: Bounds = Bounds {
    entries: 256,
    bytes: 256 * 1024,
};

/// All caches over one source.
pub(in crate::tokens) struct Caches {
    pub(in crate::tokens) base: Arc<Base>,
    pub(in crate::tokens) access: Arc<Cache<AccessAsk>>,
    pub(in crate::tokens) id: Arc<Cache<IdAsk>>,
    pub(in crate::tokens) accounts: Arc<Cache<Account>>,
}

impl Caches {
    pub(in crate::tokens) fn new(base: Base, keep_default: bool) -> Self {
        let base = Arc::new(base);
        Self {
            access: Cache::new(TOKENS, keep_default, &base),
            id: Cache::new(TOKENS, false, &base),
            accounts: Cache::new(ACCOUNTS, keep_default, &base),
            base,
        }
    }

    fn sweep(&self, now: Moment) {
        self.base.alarm.clear();
        self.access.sweep(now);
        self.id.sweep(now);
        self.accounts.sweep(now);
    }

    /// Fetches what most callers ask for, before anybody does.
    pub(in crate::tokens) fn prefetch(&self) {
        self.access.prefetch(&AccessAsk::of_default());
        self.accounts.prefetch(&Account::Default);
    }

    /// Tells the health board how things are.
    pub(in crate::tokens) fn settle(&self) {
        // Clients ask whose token it is, at the latest when they are started anew: that may be during an outage, while the token is here.
        if self.base.default_came.swap(false, Relaxed) && !self.accounts.knows(&Account::Default) {
            self.accounts.prefetch(&Account::Default);
        }
        let now = self.base.times.now();
        let default = self.access.peek(&AccessAsk::of_default(), now);
        self.base.ledger.settle(default.map(|token| token.expires_at));
    }
}

/// Runs until the source is replaced.
pub(in crate::tokens) async fn renew(caches: Arc<Caches>) {
    let base = &caches.base;
    let mut jumps = ClockJumps::new();
    loop {
        caches.settle();
        let wait = base
            .alarm
            .due()
            .map(|due| due.saturating_sub(base.times.now().boot).max(TOGETHER));
        let time = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = base.stop.asked() => return,
            () = jumps.next() => caches.sweep(base.times.now()),
            () = time => {
                let now = base.times.now();
                if base.alarm.due().is_some_and(|due| due <= now.boot) {
                    caches.sweep(now);
                }
            }
            () = base.alarm.rung() => {}
        }
    }
}
