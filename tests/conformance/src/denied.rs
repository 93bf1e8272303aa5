//! How the server treats a caller without an identity. In: an endpoint, at which this process (or one that is started as another user) is that
//! caller. Out: what each method told it, as JSON between the two processes.
use crate::endpoint::Endpoint;
use crate::messages::workload::{
    Empty, FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_BUNDLES, FETCH_X509_SVID, JwtSvidRequest,
};
use crate::options::{Denied, Options};
use crate::wire::{Ask, Channel, Event, Trouble};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a method told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nobody asked.
    NotTried(String),
    /// A status, and in words.
    Code(u16, String),
    /// A message.
    Served,
}

/// What all of them told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdicts {
    by_method: BTreeMap<String, Verdict>,
    otherwise: Verdict,
}

impl Verdicts {
    /// Nobody asked.
    pub fn not_tried(why: &str) -> Self {
        Self {
            by_method: BTreeMap::new(),
            otherwise: Verdict::NotTried(why.to_owned()),
        }
    }

    /// Of one method.
    pub fn of(&self, method: &str) -> &Verdict {
        self.by_method.get(method).unwrap_or(&self.otherwise)
    }

    /// Asks all of them, as who this process is.
    pub async fn ask(endpoint: &Endpoint, audience: &str, patience: Duration) -> Self {
        let mut verdicts = Self::not_tried("not asked");
        let request = JwtSvidRequest {
            audience: vec![audience.to_owned()],
            spiffe_id: String::new(),
        };
        for ask in [
            (FETCH_X509_SVID, Ask::one(FETCH_X509_SVID, &Empty {})),
            (FETCH_X509_BUNDLES, Ask::one(FETCH_X509_BUNDLES, &Empty {})),
            (FETCH_JWT_SVID, Ask::one(FETCH_JWT_SVID, &request)),
            (FETCH_JWT_BUNDLES, Ask::one(FETCH_JWT_BUNDLES, &Empty {})),
        ] {
            let told = match one(endpoint, ask.1, patience).await {
                Ok(Event::Message(_)) => Verdict::Served,
                Ok(Event::End(end)) => Verdict::Code(end.code.map_or(2, |code| code.0), end.to_string()),
                Err(trouble) => Verdict::NotTried(format!("the other caller: {trouble}")),
            };
            verdicts.by_method.insert(ask.0.to_owned(), told);
        }
        verdicts
    }

    /// Asks in the way that the options give.
    pub async fn by(options: &Options) -> Self {
        let patience = options.times.patience;
        match &options.denied {
            Denied::NoWay => Self::not_tried(
                "no way to be a caller without identity was given (--deny-uid, --denied-socket)",
            ),
            Denied::At(endpoint) => Self::ask(endpoint, &options.audience, patience).await,
            Denied::As(uid) => match as_user(options, *uid).await {
                Ok(verdicts) => verdicts,
                Err(why) => Self::not_tried(&format!("could not ask as uid {uid}: {why}")),
            },
        }
    }
}

async fn one(endpoint: &Endpoint, ask: Ask, patience: Duration) -> Result<Event, Trouble> {
    let channel = Channel::open(endpoint, patience).await?;
    channel.call(ask, patience).await?.next().await
}

/// Starts this program again as another user; it may be read by nobody but root, and is still this program.
async fn as_user(options: &Options, uid: u32) -> std::io::Result<Verdicts> {
    let output = tokio::process::Command::new("/proc/self/exe")
        .arg("ask-denied")
        .arg("--socket")
        .arg(options.endpoint.to_string())
        .arg("--jwt-audience")
        .arg(&options.audience)
        .uid(uid)
        .gid(uid)
        .output()
        .await?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(std::io::Error::other(why));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
