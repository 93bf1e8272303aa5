//! A conformance suite for the SPIFFE Workload API and for Envoy's SDS as SPIFFE agents serve it.
//!
//! In: a socket. Out: a table with one line a check, each check one normative sentence. It shares no code with any implementation: its own client
//! on bare HTTP/2 frames, its own messages, so that it can send what no library would.
pub mod checks;
pub mod denied;
pub mod endpoint;
pub mod messages;
pub mod model;
pub mod options;
pub mod reading;
pub mod report;
pub mod run;
pub mod seen;
pub mod wire;
