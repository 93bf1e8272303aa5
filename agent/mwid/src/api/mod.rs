//! Local APIs.
pub(crate) mod admin;
mod common;
pub(crate) mod credential;
mod health;
mod reflection;
pub(crate) mod workload;
