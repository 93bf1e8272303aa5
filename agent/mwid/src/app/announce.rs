//! What systemd is told: ready to serve, a line on how it goes, and signs of life if it wants them.
//!
//! In: the health board, the identity. Out: notifications. Never says that the daemon is alive from anywhere but its own tasks.
use crate::health::{Board, Condition};
use crate::shutdown::Shutdown;
use crate::units::notify;
use mtls_identity::Reader;

/// Says that the daemon serves, and goes on telling until `shutdown`.
pub(super) fn start(board: &Board, reader: &Reader, shutdown: &Shutdown) {
    let (board, mut reader, stop) = (board.clone(), reader.clone(), shutdown.clone());
    let mut parts = board.subscribe();
    let mut told = line(&board, &reader);
    notify::ready(&told);
    notify::feed_watchdog(shutdown);
    shutdown.spawn(async move {
        loop {
            tokio::select! {
                () = stop.asked() => return,
                changed = parts.changed() => if changed.is_err() { return },
                Some(_) = reader.changed() => {}
            }
            let now = line(&board, &reader);
            if now != told {
                notify::status(&now);
                told = now;
            }
        }
    });
}

/// One line for `systemctl status`.
pub(super) fn line(board: &Board, reader: &Reader) -> String {
    let identity = match reader.current() {
        Some(identity) => format!("{}, generation {}", identity.id().as_str(), identity.generation()),
        None => "no identity yet".to_owned(),
    };
    let trouble: Vec<String> = board
        .conditions()
        .into_iter()
        .filter_map(|(part, condition)| match condition {
            Condition::Ok => None,
            Condition::Degraded(why) | Condition::NotReady(why) => Some(format!("{part}: {why}")),
        })
        .collect();
    let state = if board.is_ready() { "Ready" } else { "Not ready" };
    if trouble.is_empty() {
        format!("{state}: {identity}")
    } else {
        format!("{state}: {identity}; {}", trouble.join("; "))
    }
}
