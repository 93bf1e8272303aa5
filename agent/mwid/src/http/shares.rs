//! What a share is. In: how much there is of something, and who takes some. Out: whether he may. Never more for one user than a quarter, and never
//! all for those who are not trusted.
use super::Holder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How much there is of something: a quarter of it for one user, an eighth only for the trusted.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    /// Of one user.
    pub(crate) share: usize,
    /// Of all users who are not trusted.
    pub(crate) others: usize,
}

/// Who has how much of it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Only users who have some have an entry.
    pub(crate) users: HashMap<Option<Holder>, usize>,
    pub(crate) all: usize,
    pub(crate) others: usize,
}

impl Bounds {
    pub(crate) fn of(all: usize) -> Self {
        Self {
            all,
            share: (all / 4).max(1),
            others: (all - all / 8).max(1),
        }
    }
}

fn is_trusted(holder: Option<Holder>) -> bool {
    holder.is_some_and(|holder| holder.trusted)
}

impl Taken {
    /// Where nobody can tell one client from another, all of them are one who is not trusted and has no share. The error is how much the user has.
    pub(crate) fn take(&mut self, bounds: &Bounds, holder: Option<Holder>, more: usize) -> Result<(), usize> {
        let has = self.users.get(&holder).copied().unwrap_or_default();
        let over_share = holder.is_some() && has + more > bounds.share;
        let over_others = !is_trusted(holder) && self.others + more > bounds.others;
        if over_share || over_others || self.all + more > bounds.all {
            return Err(has);
        }
        self.users.insert(holder, has + more);
        self.all += more;
        self.others += if is_trusted(holder) { 0 } else { more };
        Ok(())
    }

    /// Of what was taken.
    pub(crate) fn give_back(&mut self, holder: Option<Holder>, some: usize) {
        self.all -= some;
        self.others -= if is_trusted(holder) { 0 } else { some };
        if let Some(has) = self.users.get_mut(&holder) {
            *has -= some;
            if *has == 0 {
                self.users.remove(&holder);
            }
        }
    }
}

/// Seats of one kind.
#[derive(Debug)]
pub(crate) struct Seats {
    bounds: Bounds,
    taken: Mutex<Taken>,
}

/// A seat that is taken; free again on drop.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    holder: Option<Holder>,
}

impl Seats {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            bounds: Bounds::of(all),
            taken: Mutex::default(),
        })
    }

    /// A seat, if his share has one.
    pub(crate) fn take(self: &Arc<Self>, holder: Option<Holder>) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.take(&self.bounds, holder, 1).ok()?;
        Some(Seat {
            seats: Arc::clone(self),
            holder,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.give_back(self.holder, 1);
    }
}
