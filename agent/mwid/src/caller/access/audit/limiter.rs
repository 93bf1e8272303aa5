//! How many lines the record may write. In: each line's time and whose it is. Out: whether it may be written. Never lets one user's lines
//! crowd out another's, never remembers more users than it has written lines of lately.
use std::collections::HashMap;

/// A budget of lines: so many at once, and so many more each second.
#[derive(Clone, Copy, Debug)]
struct Budget {
    burst: u64,
    a_second: u64,
}

const ALL: Budget = Budget {
    burst: 20,
    a_second: 2,
};
/// Half of it, so that nobody hides what others do behind a flood of their own.
const ONE_USER: Budget = Budget {
    burst: 10,
    a_second: 1,
};

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    filled_at: u64,
}

/// A user, or, without, all who cannot be attested.
type User = Option<u32>;

#[derive(Debug)]
pub(super) struct Limiter {
    all: Bucket,
    users: HashMap<User, Bucket>,
}

impl Bucket {
    fn new(budget: Budget, now: u64) -> Self {
        Self {
            left: budget.burst,
            filled_at: now,
        }
    }

    fn fill(&mut self, budget: Budget, now: u64) {
        // A clock that was set back fills nothing; it must not be waited for either.
        let passed = now.saturating_sub(self.filled_at);
        self.filled_at = now;
        self.left = budget
            .burst
            .min(self.left.saturating_add(passed.saturating_mul(budget.a_second)));
    }
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self {
            all: Bucket::new(ALL, 0),
            users: HashMap::new(),
        }
    }

    /// Whether one more line may be written at `now` (in seconds).
    pub(super) fn take(&mut self, user: User, now: u64) -> bool {
        self.all.fill(ALL, now);
        if self.all.left == 0 {
            return false;
        }
        // Who has its whole budget again needs no memory. What is left had lines lately, and those are bounded.
        self.users.retain(|_, bucket| {
            bucket.fill(ONE_USER, now);
            bucket.left < ONE_USER.burst
        });
        let bucket = self
            .users
            .entry(user)
            .or_insert_with(|| Bucket::new(ONE_USER, now));
        if bucket.left == 0 {
            return false;
        }
        bucket.left -= 1;
        self.all.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(limiter: &mut Limiter, user: User, now: u64, tries: usize) -> usize {
        (0..tries).filter(|_| limiter.take(user, now)).count()
    }

    #[test]
    fn a_flood_is_cut_to_a_trickle_and_others_are_still_heard() {
        let mut limiter = Limiter::new();
        assert_eq!(taken(&mut limiter, Some(1), 100, 1000), 10, "one user's burst");
        assert_eq!(
            taken(&mut limiter, Some(2), 100, 5),
            5,
            "another is heard meanwhile"
        );
        assert_eq!(
            taken(&mut limiter, None, 100, 1000),
            5,
            "all together have one more bound"
        );
        assert_eq!(taken(&mut limiter, Some(3), 100, 1000), 0);
        let later: usize = (101..201).map(|now| taken(&mut limiter, Some(1), now, 50)).sum();
        assert_eq!(later, 100, "one a second");
        assert_eq!(taken(&mut limiter, Some(2), 200, 50), 10);
    }

    #[test]
    fn a_clock_that_jumps_neither_opens_nor_shuts_it_for_good() {
        let mut limiter = Limiter::new();
        assert_eq!(taken(&mut limiter, Some(1), 1000, 50), 10);
        assert_eq!(taken(&mut limiter, Some(1), 10, 50), 0, "back");
        assert_eq!(taken(&mut limiter, Some(1), 12, 50), 2, "and on from there");
        assert_eq!(taken(&mut limiter, Some(1), u64::MAX, 50), 10, "far ahead");
    }

    #[test]
    fn it_remembers_few_users() {
        let mut limiter = Limiter::new();
        for now in 0..10_000_u32 {
            limiter.take(Some(now), u64::from(now / 10));
        }
        assert!(limiter.users.len() <= 64, "{}", limiter.users.len());
    }
}
