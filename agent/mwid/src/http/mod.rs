//! HTTP over local sockets: listeners, a bounded server loop and a small client; and one client for the web.
//!
//! In: a listener and a [`Service`] that answers. Out: answers, each within the [`Limits`]. Never knows what is asked or who asks:
//! a service sees the raw stream once and attests for itself.

mod bell;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod files;
pub(crate) mod listener;
pub(crate) mod meet;
mod metrics;
mod pace;
pub(crate) mod reply;
mod serve;
pub(crate) mod shares;
pub(crate) mod turns;
pub(crate) mod web;

pub(crate) use listener::{Listener, Stream};
pub(crate) use meet::Holder;
pub(crate) use metrics::{Metrics, Server};
pub(crate) use pace::{Limits, Phase};
pub(crate) use serve::{Answer, Service, serve};
