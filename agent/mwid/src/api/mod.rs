//! Local APIs.
pub(crate) mod admin;
pub(crate) mod workload;
