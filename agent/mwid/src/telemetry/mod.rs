//! Logs and metrics.
//!
//! In: events of all rooms, their counters. Out: lines on standard error or in the journal, the newest troubles for `/status`,
//! Prometheus text. Never a key or a token: rooms do not say them, and this room adds nothing.
pub(crate) mod logging;
pub(crate) mod metrics;
