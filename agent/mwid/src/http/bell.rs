//! One bell for what rarely happens to a task that is woken often.
//!
//! In: futures that are polled with the bell's own waker. Out: whether one of them may be ready. A wake-up for another reason costs one look at a
//! flag, where polling each of them would take their locks. Never misses one: the flag is up before the task is woken.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The task's end of it.
#[derive(Debug)]
pub(super) struct Bell {
    shared: Arc<Shared>,
    /// What the futures are polled with.
    rings: Waker,
    /// Who is woken by it.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Shared {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// It has rung already: everything is to be polled a first time.
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared {
            rung: AtomicBool::new(true),
            task: Mutex::default(),
        });
        Self {
            rings: Waker::from(Arc::clone(&shared)),
            shared,
            task: None,
        }
    }

    /// What to poll the futures with, if it has rung; from now on it wakes the task that `cx` is of. All of them are to be polled then.
    pub(super) fn heard(&mut self, cx: &Context<'_>) -> Option<Context<'_>> {
        // A task's waker hardly ever changes.
        if self.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            *self.shared.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        let may_be = self.shared.rung.load(Ordering::Relaxed);
        // What was done before it rang is seen by who takes the ring.
        (may_be && self.shared.rung.swap(false, Ordering::AcqRel)).then(|| Context::from_waker(&self.rings))
    }

    /// One of the futures has become another one.
    pub(super) fn ring(&self) {
        self.shared.rung.store(true, Ordering::Release);
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Outside of the lock: it may be another executor's.
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;
    use tokio_util::sync::CancellationToken;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Woken>, Waker) {
        let woken = Arc::<Woken>::default();
        (Arc::clone(&woken), Waker::from(woken))
    }

    #[test]
    fn it_is_heard_once_for_each_time_that_it_rings() {
        let (woken, waker) = task();
        let cx = Context::from_waker(&waker);
        let mut bell = Bell::new();
        let first = bell.heard(&cx).map(|cx| cx.waker().clone());
        let rings = first.expect("everything is polled a first time");
        assert!(bell.heard(&cx).is_none());
        for times in 1..=3 {
            rings.wake_by_ref();
            assert_eq!(
                woken.0.load(Ordering::Relaxed),
                times,
                "the task is woken each time"
            );
            assert!(bell.heard(&cx).is_some());
            assert!(bell.heard(&cx).is_none());
        }
        bell.ring();
        assert!(bell.heard(&cx).is_some());
    }

    #[test]
    fn it_wakes_the_task_that_looked_last() {
        let ((one, waker_of_one), (other, waker_of_other)) = (task(), task());
        let mut bell = Bell::new();
        let rings = bell
            .heard(&Context::from_waker(&waker_of_one))
            .map(|cx| cx.waker().clone());
        assert!(bell.heard(&Context::from_waker(&waker_of_other)).is_none());
        rings.unwrap().wake();
        let woken = |task: &Woken| task.0.load(Ordering::Relaxed);
        assert_eq!((woken(&one), woken(&other)), (0, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn none_is_missed_whoever_rings_meanwhile() {
        for _ in 0..2000 {
            let token = CancellationToken::new();
            let ringer = tokio::spawn({
                let token = token.clone();
                async move { token.cancel() }
            });
            let (mut bell, mut cancelled) = (Bell::new(), pin!(token.cancelled()));
            // Ends only if the bell is heard.
            poll_fn(|cx| match bell.heard(cx) {
                Some(mut cx) => cancelled.as_mut().poll(&mut cx),
                None => Poll::Pending,
            })
            .await;
            ringer.await.unwrap();
        }
    }
}
