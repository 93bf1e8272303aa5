//! The laptop: where the embedded platform lives, and the two workloads of `mwid demo`.
//!
//! In: the user's environment, as the wiring hands it over; a published directory. Out: a private runtime directory; what the
//! workloads proved. Never touches anything outside its own directory, and is never part of a daemon on a VM.

pub(crate) mod place;
pub(crate) mod platform;
pub(crate) mod workloads;
