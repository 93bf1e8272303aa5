//! Happy eyeballs (RFC 8305). In: the addresses of one name, in the resolver's order (RFC 6724). Out: the first connection that is made; the others are
//! dropped. Never waits for an address that does not answer longer than until the next one is due.
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::sleep;

/// Between two attempts (RFC 8305, section 8).
const DELAY: Duration = Duration::from_millis(250);

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

/// The first that answers, and those that had their chance before it; the error is that of each.
pub(super) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, Vec<SocketAddr>), Vec<(SocketAddr, io::Error)>>
where
    F: Future<Output = io::Result<T>>,
{
    let attempt = async |address: SocketAddr| (address, connect(address).await);
    let mut failed = Vec::new();
    let mut attempts = FuturesUnordered::new();
    let mut begun = Vec::new();
    let mut next = addresses.into_iter().inspect(|address| begun.push(*address));
    attempts.extend(next.next().map(&attempt));
    loop {
        let is_last = next.len() == 0;
        tokio::select! {
            biased;
            done = attempts.next() => match done {
                Some((winner, Ok(stream))) => {
                    drop(next);
                    begun.retain(|address| *address != winner);
                    return Ok((stream, begun));
                }
                // A failure is no reason to wait.
                Some((address, Err(error))) => failed.push((address, error)),
                None => return Err(failed),
            },
            () = sleep(DELAY), if !is_last => {}
        }
        attempts.extend(next.next().map(&attempt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
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
