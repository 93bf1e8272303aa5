//! One line of the record and its repeats. In: each repeat. Out: when it is to be said again, and how many times. Never takes a lock.
use crate::health::status::{CallerLine, timestamp};
use jiff::Timestamp;
use mtls_identity::UnixTime;
use prometheus_client::metrics::counter::Counter;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// Repeats are summed up for so long.
pub(super) const PAUSE: u64 = 60;

/// What makes one line differ from another. Clean and short: parts of it are what callers wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Subject {
    pub(in super::super) who: Who,
    pub(in super::super) listener: &'static str,
    pub(in super::super) what: String,
    /// Of a denial: why, and hints for the operator. None: granted.
    pub(in super::super) denied: Option<Why>,
    /// The rules that match.
    pub(in super::super) rule: String,
}

/// Whose doing it was. Without the process: a program that is started every second is one caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Who {
    Attested {
        uid: u32,
        gid: Option<u32>,
        unit: Option<String>,
    },
    /// With the kind of the denial.
    Unattested(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Why {
    pub(in super::super) text: String,
    pub(in super::super) hints: String,
}

/// A subject and how often it was seen.
#[derive(Debug)]
pub(in super::super) struct Entry {
    pub(super) subject: Arc<Subject>,
    /// More words for why, from the first time.
    detail: Option<String>,
    counter: Counter,
    times: AtomicU64,
    /// How many of them lines told of.
    told: AtomicU64,
    last: AtomicU64,
    /// The newest process; 0: not known.
    pid: AtomicI32,
    /// In seconds, and one more: 0 is never.
    said_at: AtomicU64,
    /// It is no longer in the record's table.
    pub(super) forgotten: AtomicBool,
}

impl Who {
    pub(super) fn uid(&self) -> Option<u32> {
        match self {
            Self::Attested { uid, .. } => Some(*uid),
            Self::Unattested(_) => None,
        }
    }
}

impl Entry {
    pub(super) fn new(subject: Arc<Subject>, detail: Option<String>, counter: Counter) -> Self {
        Self {
            subject,
            detail,
            counter,
            times: AtomicU64::new(0),
            told: AtomicU64::new(0),
            last: AtomicU64::new(0),
            pid: AtomicI32::new(0),
            said_at: AtomicU64::new(0),
            forgotten: AtomicBool::new(false),
        }
    }

    /// Counts one more. The answer is how many times there are to tell of, when it is time to.
    pub(super) fn hit(&self, pid: Option<i32>, now: u64) -> Option<u64> {
        self.counter.inc();
        self.times.fetch_add(1, Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
        self.pid.store(pid.unwrap_or(0), Ordering::Relaxed);
        let (said_at, now) = (self.said_at.load(Ordering::Relaxed), now.saturating_add(1));
        // A clock that was set back wraps to a long time, so that it is said at once and not in years.
        if said_at != 0 && now.wrapping_sub(said_at) < PAUSE {
            return None;
        }
        let claim = self
            .said_at
            .compare_exchange(said_at, now, Ordering::Relaxed, Ordering::Relaxed);
        claim.ok().map(|_| self.take_untold())
    }

    /// What no line has told of so far; it is the taker's to tell.
    pub(super) fn take_untold(&self) -> u64 {
        let times = self.times.load(Ordering::Relaxed);
        times.saturating_sub(self.told.swap(times, Ordering::Relaxed))
    }

    pub(super) fn pid(&self) -> Option<i32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Why it was denied, for the operator.
    pub(super) fn why(&self) -> Option<&str> {
        let why = self.subject.denied.as_ref()?;
        Some(self.detail.as_deref().unwrap_or(&why.text))
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub(in super::super) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub(super) fn line(&self) -> CallerLine {
        let subject = &*self.subject;
        CallerLine {
            at: at(self.last()),
            granted: subject.denied.is_none(),
            caller: Caller(&subject.who, self.pid()).to_string(),
            listener: subject.listener.to_owned(),
            what: subject.what.clone(),
            why: self.why().map(|why| match &subject.denied {
                Some(Why { hints, .. }) if !hints.is_empty() => format!("{why} ({hints})"),
                _ => why.to_owned(),
            }),
            times: self.times.load(Ordering::Relaxed),
        }
    }
}

fn at(seconds: u64) -> Timestamp {
    timestamp(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// `uid 1000 pid 4711 unit payments.service`, with what is known.
struct Caller<'a>(&'a Who, Option<i32>);

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, unit) = match self.0 {
            Who::Attested { uid, unit, .. } => (uid, unit),
            Who::Unattested(kind) => return write!(f, "unattested ({kind})"),
        };
        write!(f, "uid {uid}")?;
        if let Some(pid) = self.1 {
            write!(f, " pid {pid}")?;
        }
        unit.iter().try_for_each(|unit| write!(f, " unit {unit}"))
    }
}
