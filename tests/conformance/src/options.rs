//! What the person wants looked at, and how long it may take.
use crate::endpoint::Endpoint;
use std::sync::Arc;
use std::time::Duration;

/// Everything a run needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// The names that the server's SDS answers to, if it is looked at.
    pub sds: Option<SdsNames>,
    /// Asked for in JWT-SVIDs.
    pub audience: String,
    /// A JWT-SVID of this server that has expired.
    pub expired_jwt: Option<String>,
    /// How to be somebody without an identity.
    pub denied: Denied,
    /// How to make identities rotate.
    pub rotation: Rotation,
    /// Times.
    pub times: Times,
}

/// Names of SDS resources. They are a convention, not a standard: SPIRE's are the defaults. An empty one is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdsNames {
    /// The caller's certificate.
    pub default: String,
    /// The roots of its trust domain.
    pub root: String,
    /// The roots of all trust domains.
    pub all: String,
}

impl Default for SdsNames {
    fn default() -> Self {
        Self {
            default: "default".to_owned(),
            root: "ROOTCA".to_owned(),
            all: "ALL".to_owned(),
        }
    }
}

/// How to be somebody without an identity.
#[derive(Clone, Debug)]
pub enum Denied {
    /// No way was given.
    NoWay,
    /// As another user: this program is started again as that one (needs root).
    As(u32),
    /// At another socket.
    At(Endpoint),
}

/// How to make identities rotate.
#[derive(Clone)]
pub enum Rotation {
    /// No way was given.
    NoWay,
    /// A shell command.
    Command(String),
    /// They do it by themselves.
    Await,
    /// A function: the model's.
    Call(Arc<dyn Fn() + Send + Sync>),
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoWay => "NoWay",
            Self::Command(_) => "Command",
            Self::Await => "Await",
            Self::Call(_) => "Call",
        })
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For an answer, before it counts as none.
    pub patience: Duration,
    /// For the first message of a stream, which must come at once.
    pub prompt: Duration,
    /// How long a silence is listened to.
    pub quiet: Duration,
    /// For an update after a rotation.
    pub rotation: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            prompt: Duration::from_secs(1),
            quiet: Duration::from_millis(700),
            rotation: Duration::from_secs(30),
        }
    }
}
