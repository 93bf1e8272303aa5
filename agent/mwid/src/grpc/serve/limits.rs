//! The bounds of one server.
use std::time::Duration;

/// What clients of one server may have.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Open connections; further ones wait in the kernel's queue. A quarter of them for one user, an eighth only for the trusted.
    pub(crate) connections: usize,
    /// Calls open at a time, of all connections. A quarter of them for one user, an eighth only for the trusted.
    pub(crate) streams: usize,
    /// Calls open at a time, of one connection.
    pub(crate) streams_of_connection: u32,
    /// Size of one message from a client.
    pub(crate) message_bytes: usize,
    /// Bytes of messages that are not whole yet, of all calls. A quarter of them for one user, an eighth only for the trusted; small messages do
    /// not count.
    pub(crate) half_messages: usize,
    /// Size of a call's head.
    pub(crate) header_bytes: u32,
    /// From connecting until HTTP/2 is spoken.
    pub(crate) preface: Duration,
    /// From connecting until the first call.
    pub(crate) first_call: Duration,
    /// From a call's head until its single message is there.
    pub(crate) message: Duration,
    /// Without a call.
    pub(crate) idle: Duration,
    /// With calls but without a sign of life: then the client is asked for one, and has as long again to give it.
    pub(crate) silence: Duration,
    /// For calls that are worked on, after stopping was asked for. Streams are ended at once.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 4096,
            streams_of_connection: 256,
            message_bytes: 64 * 1024,
            half_messages: 32 * 1024 * 1024,
            header_bytes: 8 * 1024,
            preface: Duration::from_secs(10),
            first_call: Duration::from_secs(60),
            message: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            silence: Duration::from_secs(300),
            drain: Duration::from_secs(5),
        }
    }
}
