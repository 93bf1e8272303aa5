//! Answers that clients refused, in the log (and with it among the last errors of the status). In: each refusal. Out: a line with its reason, for each
//! user, node and reason at most once in ten seconds; and when those are over, of those that had none, a line for each user: how many, and the last of
//! them. Never more than a few lines of one user: a reason is a client's, and it may give many.
use super::metrics::Kind;
use super::session::Nack;
use crate::proto::envoy::config::core::v3::Node;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const WITHIN: Duration = Duration::from_secs(10);
/// So many lines of one user in that time, and one of the rest. Envoy has a stream for each of its secrets, and some users more than one Envoy.
const OF_ONE: usize = 16;
/// So many users have lines of their own; all others are one.
const USERS: usize = 32;
/// Of what a node calls itself.
const LONGEST: usize = 128;
/// Of the reason that stands for many.
const BEGINNING: usize = 200;

/// Who a stream says that it is: for people to find the Envoy, and for nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) id: String,
    pub(super) cluster: String,
}

/// Cheap to clone: all are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State(HashMap<Whose, Lately>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    User(User),
    Others,
}

/// None where nobody can tell.
type User = Option<u32>;

/// The last ten seconds of a user.
#[derive(Debug)]
struct Lately {
    end: Instant,
    /// What has a line: whose node, and why.
    told: Vec<(String, String)>,
    left_out: u64,
    last: Option<Refusal>,
}

/// One that has no line.
#[derive(Debug)]
struct Refusal {
    kind: Kind,
    user: User,
    who: Who,
    version: Arc<str>,
    beginning: String,
}

/// What is to be done about a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Say {
    Line,
    Nothing,
    /// Nothing now: it is the first that was left out, and the rest is told then.
    Rest(Whose, Instant),
}

impl Who {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            id: clean(&node.id, LONGEST),
            cluster: clean(&node.cluster, LONGEST),
        }
    }
}

impl Record {
    pub(super) fn refused(&self, kind: Kind, user: User, who: &Who, nack: &Nack) {
        let say = self.state().say(kind, user, who, nack, Instant::now());
        match say {
            Say::Line => tracing::warn!(
                kind = kind.word(),
                uid = user,
                node = who.id,
                cluster = who.cluster,
                version = &*nack.version,
                "Envoy refused a secret and goes on with the one before; it gets the next generation, and not this one again: {}",
                clean(&nack.reason, usize::MAX)
            ),
            Say::Rest(whose, end) => {
                let record = self.clone();
                tokio::spawn(async move {
                    sleep_until(end).await;
                    record.tell_rest(whose);
                });
            }
            Say::Nothing => {}
        }
    }

    fn tell_rest(&self, whose: Whose) {
        let Some((times, last)) = self.state().rest(whose, Instant::now()) else {
            return;
        };
        tracing::warn!(
            kind = last.kind.word(),
            uid = last.user,
            node = last.who.id,
            cluster = last.who.cluster,
            version = &*last.version,
            left_out = times,
            "Envoys{} refused secrets more often than has a line, of the last {} s; the last reason began: {}",
            if whose == Whose::Others {
                " of many users"
            } else {
                ""
            },
            WITHIN.as_secs(),
            last.beginning
        );
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn say(&mut self, kind: Kind, user: User, who: &Who, nack: &Nack, now: Instant) -> Say {
        // Who has something left out is removed when that is told.
        self.0.retain(|_, lately| now < lately.end || lately.left_out > 0);
        let own = Whose::User(user);
        let has_place = self.0.contains_key(&own) || self.0.len() < USERS;
        let whose = if has_place { own } else { Whose::Others };
        let lately = self.0.entry(whose).or_insert_with(|| Lately {
            end: now + WITHIN,
            told: vec![],
            left_out: 0,
            last: None,
        });
        let is = |(node, reason): &(String, String)| *node == who.id && *reason == nack.reason;
        if lately.told.len() < OF_ONE && !lately.told.iter().any(is) {
            lately.told.push((who.id.clone(), nack.reason.clone()));
            return Say::Line;
        }
        lately.left_out += 1;
        lately.last = Some(Refusal {
            kind,
            user,
            who: who.clone(),
            version: Arc::clone(&nack.version),
            beginning: clean(&nack.reason, BEGINNING),
        });
        match lately.left_out {
            1 => Say::Rest(whose, lately.end),
            _ => Say::Nothing,
        }
    }

    /// How often no line was written, and the last of them; the user begins anew.
    fn rest(&mut self, whose: Whose, now: Instant) -> Option<(u64, Refusal)> {
        self.0.get(&whose).filter(|lately| lately.end <= now)?;
        let lately = self.0.remove(&whose)?;
        Some((lately.left_out, lately.last?))
    }
}

/// On one line, and without what turns or hides characters.
fn clean(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(longest) {
        match c {
            ' '..='~' => out.push(c),
            c => out.extend(c.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests;
