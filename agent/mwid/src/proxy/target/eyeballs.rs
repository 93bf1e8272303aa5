//! Happy eyeballs (RFC 8305). In: the addresses of one name, in the resolver's order (RFC 6724). Out: the first connection that is made; the others are
//! dropped. Never waits for an address that does not answer longer than until the next one is due, and never has more than a few attempts open.
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;

/// Between two attempts (RFC 8305, section 8).
const DELAY: Duration = Duration::from_millis(250);

/// Attempts of one dial at once. Each is a descriptor, also at an address that never answers, and a name may have many such.
const MOST_AT_ONCE: usize = 3;

/// The families by turns, each in its own order, the first one's first (RFC 8305, section 4).
pub(super) fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut ones, mut others): (Vec<IpAddr>, Vec<IpAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut ones, mut others) = (ones.drain(..), others.drain(..));
    let mut all = Vec::with_capacity(addresses.len());
    loop {
        let (one, other) = (ones.next(), others.next());
        if one.is_none() && other.is_none() {
            return all;
        }
        all.extend(one.into_iter().chain(other));
    }
}

/// An address whose turn is to come.
struct Turn {
    address: SocketAddr,
    /// How many it has had.
    had: u32,
}

impl Turn {
    /// How long the next one waits for this one. Whose turn is over while others wait is not given up, but comes last, and every further turn of all is twice as
    /// long as the one before: an address that is good but slow (far away, or its first packet was lost) is made to start afresh, and wins once a turn is
    /// long enough, while the caller's time lasts. Of three addresses or fewer none is ever dropped.
    fn delay(&self) -> Duration {
        DELAY.saturating_mul(2_u32.saturating_pow(self.had))
    }
}

/// An attempt under way.
struct Attempt<F> {
    turn: Turn,
    connect: Pin<Box<F>>,
}

/// Those under way, the oldest first.
struct Attempts<F>(VecDeque<Attempt<F>>);

impl<F: Future> Attempts<F> {
    /// The next that is done; none if there is none.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Option<(SocketAddr, F::Output)>> {
        for place in 0..self.0.len() {
            if let Poll::Ready(done) = self.0[place].connect.as_mut().poll(cx) {
                let attempt = self.0.remove(place);
                return Poll::Ready(attempt.map(|attempt| (attempt.turn.address, done)));
            }
        }
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// The oldest, dropped, if there is no room for another.
    fn make_room(&mut self) -> Option<Turn> {
        if self.0.len() < MOST_AT_ONCE {
            return None;
        }
        self.0.pop_front().map(|oldest| oldest.turn)
    }
}

/// The first that answers, and those that had their chance before it; the error is that of each.
pub(super) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, Vec<SocketAddr>), Vec<(SocketAddr, io::Error)>>
where
    F: Future<Output = io::Result<T>>,
{
    let (mut begun, mut failed) = (Vec::new(), Vec::new());
    let first = addresses.into_iter().map(|address| Turn { address, had: 0 });
    let mut waiting: VecDeque<Turn> = first.collect();
    let mut attempts = Attempts(VecDeque::with_capacity(MOST_AT_ONCE));
    let mut delay = DELAY;
    loop {
        if let Some(turn) = waiting.pop_front() {
            if let Some(Turn { address, had }) = attempts.make_room() {
                let had = had.saturating_add(1);
                waiting.push_back(Turn { address, had });
            }
            if turn.had == 0 {
                begun.push(turn.address);
            }
            delay = turn.delay();
            let connect = Box::pin(connect(turn.address));
            attempts.0.push_back(Attempt { turn, connect });
        }
        tokio::select! {
            biased;
            done = poll_fn(|cx| attempts.poll_done(cx)) => match done {
                Some((winner, Ok(stream))) => {
                    begun.retain(|address| *address != winner);
                    return Ok((stream, begun));
                }
                // A failure is no reason to wait.
                Some((address, Err(error))) => failed.push((address, error)),
                None => return Err(failed),
            },
            () = sleep(delay), if !waiting.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    fn address(byte: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, byte], 1))
    }

    /// What becomes of an attempt, and after how many milliseconds.
    async fn after(milliseconds: u64, outcome: Result<u8, &str>) -> io::Result<u8> {
        sleep(Duration::from_millis(milliseconds)).await;
        outcome.map_err(io::Error::other)
    }

    #[test]
    fn families_take_turns_and_keep_their_own_order() {
        let texts = ["fd00::1", "fd00::2", "fd00::3", "10.0.0.1"];
        let all: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let order: Vec<String> = interleaved(&all).iter().map(IpAddr::to_string).collect();
        assert_eq!(order, ["fd00::1", "10.0.0.1", "fd00::2", "fd00::3"]);
        assert_eq!(interleaved(&all[3..]), &all[3..]);
        assert!(interleaved(&[]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
        let begun = Instant::now();
        let tried = Mutex::new(Vec::new());
        let won = race((1..=4).map(address).collect(), |to| {
            tried.lock().unwrap().push((to, begun.elapsed()));
            let is_third = to == address(3);
            after(
                if is_third { 10 } else { 3_600_000 },
                Ok(if is_third { 3 } else { 0 }),
            )
        });
        assert_eq!(won.await.unwrap(), (3, vec![address(1), address(2)]));
        assert_eq!(begun.elapsed(), DELAY * 2 + Duration::from_millis(10));
        let at = [
            (address(1), Duration::ZERO),
            (address(2), DELAY),
            (address(3), DELAY * 2),
        ];
        assert_eq!(*tried.lock().unwrap(), at, "the fourth is not bothered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_wins_if_it_is_the_first_to_answer() {
        let won = race(vec![address(1), address(2)], |to| {
            let first = to == address(1);
            after(if first { 300 } else { 100 }, Ok(if first { 1 } else { 2 }))
        });
        assert_eq!(won.await.unwrap().0, 1);
    }

    /// Counts what is open, for as long as it is.
    struct Open<'a>(&'a AtomicUsize);

    impl<'a> Open<'a> {
        fn one(open: &'a AtomicUsize, most: &AtomicUsize) -> Self {
            most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            Self(open)
        }
    }

    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_that_do_not_answer_hold_few_descriptors_and_the_last_has_its_turn() {
        let (open, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begun = Instant::now();
        let won = race((1..=16).map(address).collect(), |to| {
            let held = Open::one(&open, &most);
            async move {
                let _held = held;
                let is_last = to == address(16);
                after(if is_last { 10 } else { 3_600_000 }, Ok(0)).await
            }
        });
        let (_, losers) = won.await.unwrap();
        assert_eq!(losers, (1..16).map(address).collect::<Vec<_>>());
        assert_eq!(begun.elapsed(), DELAY * 15 + Duration::from_millis(10));
        assert_eq!(most.into_inner(), 3);
        assert_eq!(open.into_inner(), 0);
    }

    /// Wherever it stands, and whether what stands beside it is silent or refuses.
    #[tokio::test(start_paused = true)]
    async fn the_only_good_address_wins_though_it_is_slow() {
        let limit = Duration::from_secs(10);
        for (addresses, slow, milliseconds) in [(4, 1, 1_400), (8, 3, 1_400), (16, 1, 1_400), (5, 2, 2_500)] {
            for others in [Ok(0), Err("refused")] {
                let won = race((1..=addresses).map(address).collect(), |to| {
                    let is_slow = to == address(slow);
                    let silent = if others.is_ok() { 3_600_000 } else { 1 };
                    after(
                        if is_slow { milliseconds } else { silent },
                        if is_slow { Ok(slow) } else { others },
                    )
                });
                let won = tokio::time::timeout(limit, won).await;
                let (winner, losers) = won.expect("starved").unwrap();
                assert_eq!(winner, slow, "of {addresses}");
                // Each once, however often it was tried.
                assert_eq!(losers.len(), usize::from(addresses) - 1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_passed_over_at_once_and_all_are_told() {
        let begun = Instant::now();
        let lost = race::<u8, _>(vec![address(1), address(2)], |_| after(1, Err("refused")));
        let lost = lost.await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::from_millis(2));
        let all: Vec<_> = lost.iter().map(|(to, _)| *to).collect();
        assert_eq!(all, [address(1), address(2)]);
        assert!(
            race::<u8, _>(vec![], |_| after(0, Ok(0)))
                .await
                .unwrap_err()
                .is_empty()
        );
    }
}
