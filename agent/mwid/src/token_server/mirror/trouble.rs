//! Why the platform has no answer for a caller. In: what went wrong. Out: what the caller is told and what is counted; cheap to clone, because one
//! failed question is told to all who waited for it. Never shows a caller more than that the platform is away.
use super::tree::TreeError;
use crate::http::reply::Reply;
use crate::metadata::MetadataError;
use crate::token_server::words;
use hyper::StatusCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the platform has no answer to {path}")]
    Away {
        path: String,
        #[source]
        source: Arc<MetadataError>,
    },
    #[error("the platform refuses work (status {status} for {path}); it is asked again")]
    Busy { path: String, status: u16 },
    #[error("what the platform has at {path} is not passed on, because it could hold a private key")]
    Unreadable {
        path: String,
        #[source]
        source: Arc<TreeError>,
    },
    #[error("mwid stops")]
    Stopping,
    #[error("too many requests wait for the platform")]
    Crowded,
}

impl Trouble {
    /// Whether it may be over in a moment, as when the platform's server is replaced.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Away { source, .. } => matches!(
                &**source,
                MetadataError::Connect { .. } | MetadataError::Http { .. } | MetadataError::Body { .. }
            ),
            Self::Unreadable { .. } | Self::Stopping | Self::Crowded => false,
        }
    }

    /// A short name out of a small fixed set.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Away { source, .. } => source.reason(),
            Self::Busy { .. } => "busy",
            Self::Unreadable { .. } => "unreadable",
            Self::Stopping => "stopping",
            Self::Crowded => "crowded",
        }
    }

    /// What the caller gets when nothing is remembered.
    pub(super) fn reply(&self, retry_after: Duration) -> Reply {
        let why = match self {
            Self::Away { source, .. } if matches!(&**source, MetadataError::TooLarge { .. }) => {
                let why = "The platform's answer is larger than mwid reads; ask for single keys.";
                return words::refused(StatusCode::BAD_GATEWAY, why);
            }
            Self::Away { .. } | Self::Busy { .. } => {
                "The platform's metadata server does not answer, and mwid remembers no value of this key; ask again."
            }
            Self::Unreadable { .. } => {
                let why = "The platform's answer could not be read and may hold a private key, so mwid does not pass it on; ask for \
                           single keys.";
                return words::refused(StatusCode::BAD_GATEWAY, why);
            }
            Self::Stopping => "mwid stops; ask again.",
            Self::Crowded => {
                "Too many requests wait for the platform or for a change; ask again, or without wait_for_change."
            }
        };
        words::unavailable(why, retry_after)
    }
}
