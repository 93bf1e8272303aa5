//! gRPC over HTTP/2 on local sockets: a bounded server loop and a small client.
//!
//! In: a listener and a [`Service`] that answers; or a stream and a question. Out: answers, each within the [`Limits`]. Never knows what
//! is asked or who asks, and never encodes or copies a message for one of many who get it: a [`Frame`] is shared by all of them.
//! Follows gRPC's "gRPC over HTTP2" and "Status codes and their use in gRPC".

pub(crate) mod client;
mod frame;
mod metrics;
mod serve;
mod sieve;
mod sifted;
mod status;

pub(crate) use frame::{Frame, Joint, Pieces};
pub(crate) use metrics::Metrics;
pub(crate) use serve::{Answer, Call, Calls, Dated, Limits, Revoked, Service, serve};
pub(crate) use sieve::{Fields, Keep};
pub(crate) use status::{Code, Status};
