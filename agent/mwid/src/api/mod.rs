//! Local APIs.
pub(crate) mod admin;
