//! Control of other units: reload, signal.
//!
//! In: a unit's name. Out: the checked result, or which of the usual reasons it was. Never starts, stops or restarts
//! anything, never asks a person for a password.

mod bus;
#[cfg(test)]
mod tests;

pub(crate) use bus::SystemBus;

use futures_util::future::BoxFuture;
use std::fmt;
use std::time::Duration;

/// What rooms above ask of the service manager.
pub(crate) trait UnitControl: Send + Sync {
    /// Reloads a running unit and waits for the result.
    fn reload<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<(), UnitError>>;
    /// Sends a signal to a running unit's main process.
    fn signal<'a>(&'a self, unit: &'a str, signal: i32) -> BoxFuture<'a, Result<(), UnitError>>;
}

/// Why a unit was not reloaded or signalled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnitError {
    #[error(
        "systemd does not know the unit {unit} (load state `{state}`); check the name, or `systemctl cat {unit}`"
    )]
    NotLoaded { unit: String, state: String },
    #[error("{unit} is not running (state `{state}`)")]
    NotRunning { unit: String, state: String },
    #[error("{unit} has failed; see `systemctl status {unit}`")]
    InFailedState { unit: String },
    #[error("{unit} cannot be reloaded: it has no ExecReload=; use `signal` or `run`")]
    CannotReload { unit: String },
    #[error(
        "mwid may not {action} {unit}; install a polkit rule that lets user mwid do that (see 50-mwid-reload.rules)"
    )]
    Denied { unit: String, action: &'static str },
    #[error("the reload of {unit} ended with `{result}`; see `journalctl -u {unit}`")]
    JobFailed { unit: String, result: String },
    #[error("systemd did not finish the {action} of {unit} within {limit:?}")]
    Timeout {
        unit: String,
        action: &'static str,
        limit: Duration,
    },
    #[error("cannot reach systemd over the system bus; is /run/dbus/system_bus_socket there?")]
    Bus {
        #[source]
        source: BusCause,
    },
    #[error("systemd refused to {action} {unit}")]
    Call {
        unit: String,
        action: &'static str,
        #[source]
        source: BusCause,
    },
}

/// An error of the bus library, whose texts hold their causes already: they must not be told twice.
#[derive(Debug)]
pub(crate) struct BusCause(Box<zbus::Error>);

impl fmt::Display for BusCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BusCause {}
