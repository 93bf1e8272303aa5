//! Signals. In: SIGTERM, SIGINT, SIGHUP. Out: a wish to stop, a wish to reload. Never ends the process itself.
use crate::shutdown::Shutdown;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT ask everything to stop.
pub(super) fn stop_on_signals(shutdown: &Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = stop.asked() => return,
        };
        tracing::info!(signal = name, "stopping");
        stop.ask();
    });
    Ok(())
}

/// SIGHUP asks for a reload.
pub(super) fn reloads() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
