//! The addresses of names. In: a host, and how to look it up. Out: its addresses as they are now, or as they were when that cannot be told in time.
//! Never more than one look-up of a name at once, and no connection waits for one while an earlier answer is known.
//!
//! The system's own resolver (getaddrinfo, through tokio) and no DNS client in the process: VMs rely on nsswitch, /etc/hosts, search domains and
//! systemd-resolved, which a DNS client of our own (hickory-resolver) goes round, and would add a stack of crates to the binary. What getaddrinfo does
//! not tell is the TTL. So an answer counts as fresh for a short time only, and is looked up again by the next connection after that;
//! resolved keeps the record for as long as its TTL says, so that a question more costs a local round trip.
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How long an answer is used without asking again. The TTLs of names that are moved for a failover are longer.
const FRESH: Duration = Duration::from_secs(10);
/// How long nobody asks again after a failure.
const FAILED: Duration = Duration::from_secs(2);
/// How long a connection waits for a newer answer than the one that is known: as long as for another address (RFC 8305, section 8).
const GRACE: Duration = Duration::from_millis(250);
const MOST_ADDRESSES: usize = 16;
/// How long an address that lost against a later one is tried after the others, so that not every connection waits for it.
const BEHIND: Duration = Duration::from_secs(60);
/// A look-up that hangs keeps a thread; files are written by threads of the same pool.
const AT_ONCE: usize = 32;

/// How a host is looked up.
pub(in super::super) type LookUp =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The names of all routes.
pub(in super::super) struct Resolver {
    look_up: LookUp,
    at_once: Arc<Semaphore>,
    /// Those that some target uses.
    names: Mutex<BTreeMap<String, Weak<Name>>>,
}

/// One name, and what is known of it.
pub(super) struct Name {
    host: String,
    look_up: LookUp,
    at_once: Arc<Semaphore>,
    known: watch::Sender<Known>,
    /// Addresses that lost, and when.
    losers: Mutex<Vec<(IpAddr, Instant)>>,
}

#[derive(Debug, Default)]
struct Known {
    answer: Option<(Arc<[IpAddr]>, Instant)>,
    /// Of the last look-up, if it did.
    failed: Option<(Arc<io::Error>, Instant)>,
    /// Since when somebody asks.
    asking: Option<Instant>,
}

/// The addresses to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Arc<[IpAddr]>,
    /// They are of an earlier look-up, since there is no newer answer.
    pub(super) stale: bool,
}

impl Resolver {
    /// As this system resolves names.
    pub(in super::super) fn system() -> Self {
        Self::new(Arc::new(|host: String| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        }))
    }

    pub(in super::super) fn new(look_up: LookUp) -> Self {
        Self {
            look_up,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            names: Mutex::default(),
        }
    }

    pub(super) fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host).and_then(Weak::upgrade) {
            return name;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(Name {
            host: host.to_owned(),
            look_up: Arc::clone(&self.look_up),
            at_once: Arc::clone(&self.at_once),
            known: watch::Sender::default(),
            losers: Mutex::default(),
        });
        names.insert(host.to_owned(), Arc::downgrade(&name));
        name
    }
}

impl Known {
    fn fresh(&self) -> Option<Arc<[IpAddr]>> {
        let (addresses, at) = self.answer.as_ref()?;
        (at.elapsed() < FRESH).then(|| Arc::clone(addresses))
    }

    /// A failure of so little time ago that the answer would be the same.
    fn just_failed(&self) -> Option<&Arc<io::Error>> {
        let (error, at) = self.failed.as_ref()?;
        (at.elapsed() < FAILED).then_some(error)
    }

    /// How long to wait for the look-up in flight; none: until it ends.
    fn patience(&self) -> Option<Duration> {
        self.answer.as_ref()?;
        let asking = self.asking.map_or(Duration::ZERO, |since| since.elapsed());
        Some(match self.failed {
            // The resolver is in trouble: nobody waits for it.
            Some(_) => Duration::ZERO,
            None => GRACE.saturating_sub(asking),
        })
    }
}

impl Name {
    /// Its addresses. Asks, if nobody does and what is known is not of now.
    pub(super) async fn addresses(self: &Arc<Self>) -> Result<Found, Arc<io::Error>> {
        let fresh = self.known.borrow().fresh();
        if let Some(addresses) = fresh {
            return Ok(Found {
                addresses,
                stale: false,
            });
        }
        self.ask();
        let mut known = self.known.subscribe();
        let patience = self.known.borrow().patience();
        let answered = async {
            // An error would be that `self` is gone.
            known.wait_for(|known| known.asking.is_none()).await.ok();
        };
        match patience {
            None => answered.await,
            Some(patience) => drop(timeout(patience, answered).await),
        }
        let known = self.known.borrow();
        match (&known.answer, &known.failed) {
            (Some((addresses, _)), _) => Ok(Found {
                addresses: Arc::clone(addresses),
                stale: known.fresh().is_none(),
            }),
            (None, Some((error, _))) => Err(Arc::clone(error)),
            (None, None) => Err(Arc::new(io::ErrorKind::Interrupted.into())),
        }
    }

    /// The addresses that are known, and why they may be old.
    pub(super) fn known(&self) -> (Vec<IpAddr>, Option<String>) {
        let known = self.known.borrow();
        let Some((addresses, at)) = &known.answer else {
            return (Vec::new(), None);
        };
        let seconds = at.elapsed().as_secs();
        let why = match (&known.failed, known.asking) {
            (Some((error, _)), _) => Some(format!("cannot be looked up: {error}")),
            (None, Some(since)) if since.elapsed() > GRACE => Some("the resolver does not answer".to_owned()),
            (None, _) => None,
        };
        let why = why.map(|why| format!("{why}; its addresses of {seconds} s ago are used"));
        (addresses.to_vec(), why)
    }

    /// In the same order, but those last that lost a short while ago.
    pub(super) fn best_first(&self, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let losers = self.losers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_behind = |ip: &IpAddr| {
            let mut lost = losers.iter();
            lost.any(|(loser, at)| loser == ip && at.elapsed() < BEHIND)
        };
        addresses.sort_by_key(is_behind);
        addresses
    }

    /// These had their chance, and another one answered before them.
    pub(super) fn lost(&self, these: impl Iterator<Item = IpAddr>) {
        let these: Vec<IpAddr> = these.collect();
        if these.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut losers = self.losers.lock().unwrap_or_else(PoisonError::into_inner);
        // So there are never more than an answer has in this time.
        losers.retain(|(ip, at)| at.elapsed() < BEHIND && !these.contains(ip));
        losers.extend(these.into_iter().map(|ip| (ip, now)));
        let too_many = losers.len().saturating_sub(MOST_ADDRESSES);
        losers.drain(..too_many);
    }

    fn ask(self: &Arc<Self>) {
        let begins = self.known.send_if_modified(|known| {
            let begins = known.asking.is_none() && known.just_failed().is_none();
            if begins {
                known.asking = Some(Instant::now());
            }
            begins
        });
        if !begins {
            return;
        }
        let name = Arc::clone(self);
        // Of its own: who asked first may go, and the others still wait.
        tokio::spawn(async move {
            // Never closed.
            let _thread = name.at_once.acquire().await;
            let found = (name.look_up)(name.host.clone()).await;
            let now = Instant::now();
            name.known.send_modify(|known| {
                known.asking = None;
                match found.and_then(few) {
                    Ok(addresses) => {
                        known.answer = Some((addresses, now));
                        known.failed = None;
                    }
                    Err(error) => known.failed = Some((Arc::new(error), now)),
                }
            });
        });
    }
}

fn few(found: Vec<IpAddr>) -> io::Result<Arc<[IpAddr]>> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if addresses.len() < MOST_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::mpsc;
    use tokio::sync::oneshot::{self, Sender};

    type Question = Sender<io::Result<Vec<IpAddr>>>;

    /// A resolver whose answers the test gives.
    struct Site {
        name: Arc<Name>,
        questions: mpsc::Receiver<Question>,
        asked: Arc<AtomicUsize>,
    }

    impl Site {
        fn new() -> Self {
            let (sender, questions) = mpsc::channel(8);
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&asked);
            let resolver = Resolver::new(Arc::new(move |_host| {
                counter.fetch_add(1, Ordering::SeqCst);
                let (answer, answered) = oneshot::channel();
                sender.try_send(answer).unwrap();
                Box::pin(async move { answered.await.unwrap() })
            }));
            Self {
                name: resolver.name("a.test"),
                questions,
                asked,
            }
        }

        /// Answers the next question with this last byte of an address.
        async fn answer(&mut self, with: Result<u8, &str>) {
            let question = self.questions.recv().await.unwrap();
            let answer = with.map(|byte| vec![ip(byte)]).map_err(io::Error::other);
            question.send(answer).unwrap();
        }

        async fn knows(&mut self, byte: u8) {
            let name = Arc::clone(&self.name);
            let asks = tokio::spawn(async move { name.addresses().await });
            self.answer(Ok(byte)).await;
            asks.await.unwrap().unwrap();
        }
    }

    fn ip(byte: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, byte])
    }

    fn found(byte: u8, stale: bool) -> Found {
        Found {
            addresses: vec![ip(byte)].into(),
            stale,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_want_a_name_at_once_share_one_look_up_and_its_answer_for_a_while() {
        let mut site = Site::new();
        let all: Vec<_> = (0..5)
            .map(|_| {
                let name = Arc::clone(&site.name);
                tokio::spawn(async move { name.addresses().await.unwrap() })
            })
            .collect();
        site.answer(Ok(1)).await;
        for one in all {
            assert_eq!(one.await.unwrap(), found(1, false));
        }
        tokio::time::advance(FRESH - Duration::from_millis(1)).await;
        assert_eq!(site.name.addresses().await.unwrap(), found(1, false));
        assert_eq!(site.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_record_is_followed_by_the_next_connection() {
        let mut site = Site::new();
        site.knows(1).await;
        tokio::time::advance(FRESH).await;
        let name = Arc::clone(&site.name);
        let next = tokio::spawn(async move { name.addresses().await.unwrap() });
        site.answer(Ok(2)).await;
        assert_eq!(next.await.unwrap(), found(2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_hangs_delays_one_connection_by_a_moment_and_loses_none() {
        let mut site = Site::new();
        site.knows(1).await;
        tokio::time::advance(FRESH).await;
        let begun = Instant::now();
        assert_eq!(site.name.addresses().await.unwrap(), found(1, true));
        assert_eq!(begun.elapsed(), GRACE);
        for _ in 0..10 {
            assert_eq!(site.name.addresses().await.unwrap(), found(1, true));
        }
        assert_eq!(begun.elapsed(), GRACE, "the others wait for nothing");
        tokio::time::advance(Duration::from_secs(60)).await;
        let (_, why) = site.name.known();
        assert_eq!(
            why.unwrap(),
            "the resolver does not answer; its addresses of 70 s ago are used"
        );
        assert_eq!(
            site.asked.load(Ordering::SeqCst),
            2,
            "one look-up hangs, and no second"
        );
        site.answer(Ok(2)).await;
        tokio::task::yield_now().await;
        assert_eq!(site.name.addresses().await.unwrap(), found(2, false));
        assert_eq!(site.name.known().1, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_fails_delays_nobody_and_the_last_answer_is_used() {
        let mut site = Site::new();
        site.knows(1).await;
        tokio::time::advance(FRESH).await;
        let name = Arc::clone(&site.name);
        let first = tokio::spawn(async move { name.addresses().await.unwrap() });
        site.answer(Err("no servers")).await;
        assert_eq!(first.await.unwrap(), found(1, true));
        let begun = Instant::now();
        assert_eq!(site.name.addresses().await.unwrap(), found(1, true));
        tokio::time::advance(FAILED).await;
        assert_eq!(
            site.name.addresses().await.unwrap(),
            found(1, true),
            "asks behind its back"
        );
        assert_eq!(begun.elapsed(), FAILED);
        assert!(
            site.name
                .known()
                .1
                .unwrap()
                .starts_with("cannot be looked up: no servers")
        );
        site.answer(Ok(2)).await;
        tokio::task::yield_now().await;
        assert_eq!(site.name.addresses().await.unwrap(), found(2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_there_is_asked_for_again_after_a_while_and_not_before() {
        let mut site = Site::new();
        let name = Arc::clone(&site.name);
        let first = tokio::spawn(async move { name.addresses().await });
        site.answer(Err("no such name")).await;
        first.await.unwrap().unwrap_err();
        site.name.addresses().await.unwrap_err();
        assert_eq!(site.asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(FAILED).await;
        site.knows(1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_lost_is_the_last_to_be_tried_for_a_minute() {
        let name = Site::new().name;
        let all = || (1..=3).map(ip).collect::<Vec<_>>();
        name.lost([ip(1)].into_iter());
        assert_eq!(name.best_first(all()), [ip(2), ip(3), ip(1)]);
        assert_eq!(name.best_first(vec![ip(1)]), [ip(1)]);
        tokio::time::advance(BEHIND).await;
        assert_eq!(name.best_first(all()), all());
        name.lost((0..200).map(ip));
        assert_eq!(name.losers.lock().unwrap().len(), MOST_ADDRESSES);
    }

    #[test]
    fn an_answer_is_bounded_and_an_empty_one_is_none() {
        let many = (0..200).map(|byte| ip(byte / 2)).collect();
        assert_eq!(few(many).unwrap().len(), MOST_ADDRESSES);
        few(vec![]).unwrap_err();
    }
}
