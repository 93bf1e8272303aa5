//! Local APIs.
pub(crate) mod admin;
mod common;
mod health;
mod reflection;
pub(crate) mod workload;
