//! Why there is no answer. In: what went wrong on the way. Out: words with what to do. Never holds a query, a body or a proxy's password.
use super::Url;
use crate::http::body::BodyError;
use std::io;
use std::time::Duration;

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("no answer from {url} within {}; see what is slow in between", humantime::format_duration(*after))]
    TimedOut { url: Url, after: Duration },
    #[error(
        "no root certificates are on this machine, so nobody's can be checked; install the package ca-certificates"
    )]
    NoRoots {
        #[source]
        source: Option<Box<rustls_native_certs::Error>>,
    },
    #[error(
        "cannot connect to {url}; see DNS, routes and firewalls, or set HTTPS_PROXY where only a proxy leads out"
    )]
    Connect {
        url: Url,
        #[source]
        source: Cause,
    },
    #[error("the proxy {proxy} does not lead to {url}; see HTTPS_PROXY and NO_PROXY")]
    Proxy {
        url: Url,
        proxy: String,
        #[source]
        source: Cause,
    },
    #[error(
        "the proxy of HTTPS_PROXY has the scheme {scheme:?}; only http:// proxies are served, what is asked through them is encrypted \
         all the same"
    )]
    ProxyScheme { scheme: String },
    #[error("{url} is plain http, and its name leads away from this machine; write https://")]
    LedAway { url: Url },
    #[error(
        "no encrypted connection to {url}; if something in between replaces certificates, add its root to those of the system"
    )]
    Tls {
        url: Url,
        #[source]
        source: io::Error,
    },
    #[error("the provider of cryptography has no usable TLS; this is a fault of mwid, please report it")]
    Provider(#[source] rustls::Error),
    #[error("the request to {url} cannot be written")]
    Request {
        url: Url,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the talk with {url} broke off")]
    Http {
        url: Url,
        #[source]
        source: hyper::Error,
    },
    #[error("the answer of {url} is not usable")]
    Body {
        url: Url,
        #[source]
        source: BodyError,
    },
}

impl WebError {
    /// Whether the next try may end otherwise, with nobody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. } | Self::Connect { .. } | Self::Http { .. } | Self::Proxy { .. }
        )
    }
}
