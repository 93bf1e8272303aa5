//! The metadata-compatible API: what Google's client libraries ask a metadata server, answered for attested callers.
//!
//! In: requests on loopback TCP and a Unix socket. Out: tokens by grant, and the instance's own data, in the metadata server's words. Never answers
//! an unattested caller, never hands out a token that no rule grants, never passes on what a path tries to hide.
mod account;
mod door;
mod guest;
mod hand_out;
mod host;
mod metrics;
mod mirror;
mod page;
mod query;
mod refusal;
mod seldom;
mod site;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use metrics::Metrics;

use crate::caller::Access;
use crate::http::{self, Limits, Listener};
use crate::metadata;
use crate::shutdown::Shutdown;
use crate::tokens::Tokens;
use door::Door;
use site::Site;
use std::sync::Arc;
use std::time::Duration;

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) tokens: Tokens,
    pub(crate) access: Access,
    /// The platform, if there is one: asked for everything that is not ours.
    pub(crate) platform: Option<Platform>,
    pub(crate) metrics: Metrics,
}

/// Where the instance's own data comes from.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) client: metadata::Client,
    /// The settings name the source of tokens, so callers will come: what they ask for first is fetched at once.
    pub(crate) is_named: bool,
}

/// What all listeners share: the answers, and what the platform said before.
pub(crate) struct Server {
    site: Arc<Site>,
    access: Access,
}

/// Of one listener. A quarter of them is one user's.
const CONNECTIONS: usize = 4096;

impl Server {
    /// Raises the number of files that this process may have open, as far as it may: each caller takes one.
    pub(crate) fn new(inputs: Inputs, shutdown: &Shutdown) -> Arc<Self> {
        http::files::raise();
        let Inputs {
            tokens,
            access,
            platform,
            metrics,
        } = inputs;
        Arc::new(Self {
            site: Arc::new(Site::new(tokens, platform, metrics, shutdown)),
            access,
        })
    }

    /// Another platform from now on (reload).
    pub(crate) fn replace_platform(&self, platform: Option<Platform>) {
        self.site.replace_platform(platform);
    }

    /// Serves on these listeners until `shutdown`.
    pub(crate) fn start(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        http_metrics: &http::Metrics,
        shutdown: &Shutdown,
    ) {
        let limits = limits(http::files::allowed());
        for listener in listeners {
            let name = if listener.is_unix() {
                "metadata"
            } else {
                "metadata_tcp"
            };
            let door = Door::new(Arc::clone(&self.site), self.access.clone(), name);
            shutdown.spawn(http::serve(
                listener,
                Arc::new(door),
                limits.clone(),
                http_metrics.server(name),
                shutdown.token(),
            ));
        }
    }
}

/// With so many open files allowed. There are three listeners as a rule, and the rest of the daemon wants some too.
fn limits(files: usize) -> Limits {
    Limits {
        connections: CONNECTIONS.min(files.saturating_sub(256) / 4).max(64),
        // Clients keep connections for the next token; who keeps one for nothing leaves it as soon as others need it.
        idle: Duration::from_secs(300),
        // Somebody may wait for a change. What must not take long has its own bound.
        request: mirror::LONGEST_WAIT + Duration::from_secs(60),
        header_bytes: 16 * 1024,
        ..Limits::default()
    }
}
