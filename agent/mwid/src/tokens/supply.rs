//! One source with all that serves it: caches, timer, ledger. In: a source. Out: answers and the words of the status. Never outlives its
//! source: when that is replaced, its fetches end and its tokens are wiped.
use super::cache::{Base, Caches, renew};
use super::ledger::Ledger;
use super::{AccessAsk, Account, Room, TokenSource};
use crate::health::status::{TokensStatus, timestamp};
use std::sync::Arc;

/// One source, its caches and their timer. All of them end with it.
pub(super) struct Supply {
    pub(super) caches: Arc<Caches>,
    for_development: bool,
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.caches.base.stop.ask();
    }
}

impl Supply {
    /// Takes over the room's place on the health board. With a named source the default token is fetched at once, and
    /// whose it is.
    pub(super) fn start(room: &Room, source: Arc<dyn TokenSource>, is_named: bool) -> Arc<Self> {
        let for_development = source.kind() == "dev";
        let base = Base::new(
            source,
            room.times.clone(),
            room.metrics.clone(),
            Ledger::new(&room.place, is_named, room.metrics.clone()),
            &room.changes,
            &room.shutdown,
        );
        let caches = Arc::new(Caches::new(base, is_named));
        if is_named {
            caches.prefetch();
        }
        // Before anybody can look at it: the first words of this source on the board.
        caches.settle();
        room.shutdown.spawn(renew(Arc::clone(&caches)));
        Arc::new(Self {
            caches,
            for_development,
        })
    }

    /// What is known of it, added to what the room counted.
    pub(super) fn status(&self, counted: &TokensStatus) -> TokensStatus {
        let Caches {
            base,
            access,
            id,
            accounts,
        } = self.caches.as_ref();
        let now = base.times.now();
        TokensStatus {
            source: base.source.kind().to_owned(),
            from: base.source.place(),
            account: accounts
                .peek(&Account::Default, now)
                .map(|account| account.email.clone()),
            for_development: self.for_development,
            cached: access.valid(now) + id.valid(now),
            expires_at: access
                .peek(&AccessAsk::of_default(), now)
                .map(|token| timestamp(token.expires_at)),
            last_answer: base.ledger.last_answer().map(timestamp),
            trouble: base.ledger.trouble(),
            fetches: counted.fetches,
            hits: counted.hits,
        }
    }
}
