//! The PROXY protocol (haproxy's proxy-protocol.txt): who is really at the other end of a connection. In: a load balancer's header before the TLS; or a
//! verified peer. Out: the addresses in the header; or a header for the application. Never believed unless the route says so.
mod encode;
mod read;
mod write;

pub(super) use read::{Ends, HeaderError, read};
pub(super) use write::header;
