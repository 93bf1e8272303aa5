//! How many and how long, of a route. In: as written. Out: numbers and times, each within what makes sense.
use super::place::At;
use super::values;
use crate::config::Timeouts;
use crate::config::error::Wrong;
use crate::config::raw;
use std::time::Duration;

const MOST_CONNECTIONS: u64 = 1_000_000;
const MAX_CONNECTIONS: usize = 10_000;
const MAX_HANDSHAKES: usize = 256;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// A handshake or a connect that takes longer is of no use to anybody, and holds a place.
const LONGEST_STEP: Duration = Duration::from_secs(300);

pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) handshakes: usize,
    pub(super) timeouts: Timeouts,
}

pub(super) fn bounds(
    at: &At,
    (connections, handshakes, times): (
        Option<raw::IdNumber>,
        Option<raw::IdNumber>,
        Option<raw::Timeouts>,
    ),
) -> Bounds {
    Bounds {
        connections: count(at, "max_connections", connections, MAX_CONNECTIONS),
        handshakes: count(at, "max_handshakes", handshakes, MAX_HANDSHAKES),
        timeouts: timeouts(&at.key("timeouts"), times.unwrap_or_default()),
    }
}

/// Of one user, at an outbound route: three quarters, so that no program that fails to close what it opens keeps all others out.
pub(super) fn per_user(at: &At, raw: Option<raw::IdNumber>, connections: usize) -> usize {
    let silent = (connections - connections.div_ceil(4)).max(1);
    let most = count(at, "max_connections_per_user", raw, silent);
    if most > connections {
        at.key("max_connections_per_user").refuse(
            Wrong::new(
                &format!("the number {most}"),
                format!("at most max_connections, which is {connections}"),
            )
            .fix("one user cannot have more than there are"),
        );
    }
    most
}

fn count(at: &At, key: &str, raw: Option<raw::IdNumber>, silent: usize) -> usize {
    let judged = raw.map(|number| {
        let fits = (1..=MOST_CONNECTIONS)
            .contains(&number.0)
            .then(|| usize::try_from(number.0).ok());
        fits.flatten().ok_or_else(|| {
            Wrong::new(
                &format!("the number {}", number.0),
                format!("a number from 1 to {MOST_CONNECTIONS}"),
            )
        })
    });
    at.take(key, judged, silent)
}

fn timeouts(at: &At, raw: raw::Timeouts) -> Timeouts {
    let step = SHORTEST..=LONGEST_STEP;
    let ten = Duration::from_secs(10);
    Timeouts {
        handshake: at.time(raw.handshake, "handshake", step.clone(), ten),
        connect: at.time(raw.connect, "connect", step, ten),
        idle: time_or_none(at, raw.idle, "idle", None),
        half_close: time_or_none(at, raw.half_close, "half_close", Some(Duration::from_secs(60))),
        lifetime: time_or_none(at, raw.lifetime, "lifetime", None),
        unacknowledged: time_or_none(at, raw.unacknowledged, "unacknowledged", None),
    }
}

fn time_or_none(
    at: &At,
    raw: Option<raw::TimeText>,
    key: &str,
    silent: Option<Duration>,
) -> Option<Duration> {
    match raw {
        None => silent,
        Some(text) if text.0 == "none" => None,
        Some(text) => at.maybe(key, Some(values::time(&text.0, SHORTEST..=LONGEST))),
    }
}
