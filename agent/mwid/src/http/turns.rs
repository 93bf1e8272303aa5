//! Turns at something that is slow, so that who wants many waits for his own. In: whose a question is. Out: a turn, when there is one for him.
//! Never lets one user have more than his share, nor all of them what is kept for the trusted.
use super::Holder;
use super::shares::Bounds;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// So many at once; a quarter of them for one user, an eighth only for the trusted.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Semaphore,
    others: Semaphore,
    /// Of one user.
    share: usize,
    /// Only users who have or want a turn have an entry that lives.
    users: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// Over on drop. No semaphore of these is ever closed, so each is there that is wanted.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _own: Option<OwnedSemaphorePermit>,
    _others: Option<SemaphorePermit<'a>>,
    _all: Option<SemaphorePermit<'a>>,
}

impl Turns {
    pub(crate) fn new(all: usize) -> Self {
        let bounds = Bounds::of(all);
        Self {
            all: Semaphore::new(bounds.all),
            others: Semaphore::new(bounds.others),
            share: bounds.share,
            users: Mutex::default(),
        }
    }

    /// The next turn. Nobody's: that of mwid itself, which has no share. Once `wanted` is rung, somebody else waits for the same: it is taken for
    /// his sake then, and not held up by what else its holder wants.
    pub(crate) async fn next(&self, holder: Option<Holder>, wanted: &Notify) -> Turn<'_> {
        let own = match holder {
            None => None,
            Some(holder) => tokio::select! {
                biased;
                own = self.own(holder).acquire_owned() => own.ok(),
                () = wanted.notified() => None,
            },
        };
        let is_trusted = holder.is_none_or(|holder| holder.trusted);
        Turn {
            _own: own,
            _others: if is_trusted {
                None
            } else {
                self.others.acquire().await.ok()
            },
            _all: self.all.acquire().await.ok(),
        }
    }

    fn own(&self, holder: Holder) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = users.get(&holder).and_then(Weak::upgrade) {
            return own;
        }
        // Seldom: a user comes who had no turn and wanted none.
        users.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.share));
        users.insert(holder, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn user(uid: u32) -> Option<Holder> {
        let trusted = uid == 0;
        Some(Holder { uid, trusted })
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_has_a_quarter_and_the_trusted_a_reserve() {
        let turns = Turns::new(16);
        let quiet = Notify::new();
        let take = async |uid| {
            let mut taken = vec![];
            while let Ok(turn) = timeout(Duration::from_secs(1), turns.next(user(uid), &quiet)).await {
                taken.push(turn);
            }
            taken
        };
        let (one, two, three, four) = (take(1).await, take(2).await, take(3).await, take(4).await);
        assert_eq!([&one, &two, &three, &four].map(Vec::len), [4, 4, 4, 2]);
        let root = take(0).await;
        assert_eq!(root.len(), 2, "the eighth that is left");
        let waits = turns.next(None, &quiet);
        tokio::pin!(waits);
        assert!(timeout(Duration::from_secs(1), &mut waits).await.is_err());
        drop(one);
        timeout(Duration::from_secs(1), waits).await.expect("mwid's own");
        assert_eq!(take(1).await.len(), 4);
        drop((two, three, four, root));
        drop(take(5).await);
        assert!(
            turns.users.lock().unwrap().len() <= 2,
            "who has none is forgotten"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_else_waits_is_not_held_up_by_what_the_first_one_wants() {
        let turns = Turns::new(8);
        let (quiet, wanted) = (Notify::new(), Notify::new());
        let (_one, _two) = (
            turns.next(user(1), &quiet).await,
            turns.next(user(1), &quiet).await,
        );
        let third = turns.next(user(1), &wanted);
        tokio::pin!(third);
        assert!(
            timeout(Duration::from_secs(1), &mut third).await.is_err(),
            "it is the third"
        );
        wanted.notify_one();
        timeout(Duration::from_secs(1), third)
            .await
            .expect("for another's sake");
    }
}
