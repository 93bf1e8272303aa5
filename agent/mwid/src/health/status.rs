//! The words of `/status`: what each room tells about itself. Plain values, no secrets, one place for the daemon and `mwid status`.
use super::Condition;
use jiff::Timestamp;
use mtls_identity::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The whole of `/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) ready: bool,
    pub(crate) parts: BTreeMap<String, Condition>,
    pub(crate) identity: Option<IdentityStatus>,
    pub(crate) source: SourceStatus,
    pub(crate) publish: Vec<PublishStatus>,
    pub(crate) tokens: TokensStatus,
    pub(crate) callers: CallersStatus,
    /// Of the proxy, in the order of the file.
    pub(crate) routes: Vec<RouteStatus>,
    pub(crate) workload: WorkloadStatus,
    /// The newest warnings and errors, newest last, bounded.
    pub(crate) last_errors: Vec<ErrorLine>,
}

/// The identity in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdentityStatus {
    pub(crate) spiffe_id: String,
    pub(crate) generation: u64,
    pub(crate) serial: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) expired: bool,
    pub(crate) trust_domains: Vec<String>,
}

/// The source of candidates, and intake's dealings with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SourceStatus {
    /// `guest_agent`, `metadata`, `metadata_grpc`, `dev_ca`, `none`, or, with `auto` before anything was found, `auto`.
    pub(crate) kind: String,
    /// Where it reads: a directory, an address.
    pub(crate) from: Option<String>,
    /// True for the development CA: loud everywhere.
    pub(crate) for_development: bool,
    /// When the source last delivered something readable.
    pub(crate) last_answer: Option<Timestamp>,
    /// Where the identity in force came from when it is not the source itself (`restored from /run/mwid/identity`).
    pub(crate) restored_from: Option<PathBuf>,
    /// What `auto` tried, in words.
    pub(crate) tried: Vec<String>,
    /// The last trouble of the source (unreadable, gone), until it answers again.
    pub(crate) trouble: Option<ErrorLine>,
    /// The last refused candidate, until one is proven.
    pub(crate) refused: Option<ErrorLine>,
    pub(crate) refusals: u64,
}

/// One published directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PublishStatus {
    pub(crate) directory: PathBuf,
    /// 0 before the first.
    pub(crate) generation: u64,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) trouble: Option<ErrorLine>,
    pub(crate) reactions: Vec<ReactionStatus>,
}

/// One reaction after a publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReactionStatus {
    /// In words: `reload nginx.service`.
    pub(crate) what: String,
    /// The generation that it last completed for.
    pub(crate) generation: u64,
    pub(crate) done_at: Option<Timestamp>,
    pub(crate) failures: u64,
    pub(crate) trouble: Option<ErrorLine>,
}

/// The source of tokens and the cache over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokensStatus {
    /// `metadata`, `adc`, `impersonate`, `dev`, `none`, or, with `auto` before anything was found, `auto`.
    pub(crate) source: String,
    /// Where it asks: an address, a file, an e-mail address.
    pub(crate) from: Option<String>,
    /// The account's e-mail, once known.
    pub(crate) account: Option<String>,
    /// True for the embedded platform: loud everywhere.
    pub(crate) for_development: bool,
    pub(crate) cached: usize,
    pub(crate) fetches: u64,
    pub(crate) hits: u64,
    /// Of the default token.
    pub(crate) expires_at: Option<Timestamp>,
    /// When the source last gave a token.
    pub(crate) last_answer: Option<Timestamp>,
    /// The last failed fetch, until one succeeds.
    pub(crate) trouble: Option<ErrorLine>,
}

/// Who was served, and who was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallersStatus {
    pub(crate) rules: usize,
    pub(crate) grants: u64,
    pub(crate) denials: u64,
    /// The newest of each kind, newest last, bounded.
    pub(crate) recent: Vec<CallerLine>,
}

/// One caller and what it was granted or denied; repeats are counted, not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallerLine {
    /// The last time.
    pub(crate) at: Timestamp,
    pub(crate) granted: bool,
    /// `uid 1000 pid 4711 unit payments.service`.
    pub(crate) caller: String,
    /// Where it came: `workload`, `metadata_tcp`.
    #[serde(default)]
    pub(crate) listener: String,
    /// `access token`, `ID token for https://…`.
    pub(crate) what: String,
    /// Of a denial.
    pub(crate) why: Option<String>,
    pub(crate) times: u64,
}

/// One route of the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteStatus {
    pub(crate) name: String,
    /// False: outbound.
    pub(crate) inbound: bool,
    pub(crate) listen: String,
    /// All of them.
    pub(crate) target: String,
    /// In the order of the file.
    #[serde(default)]
    pub(crate) targets: Vec<TargetStatus>,
    pub(crate) dry_run: bool,
    /// Connections that are open now.
    pub(crate) open: u64,
    /// Connections that were made and refused since the start.
    pub(crate) made: u64,
    pub(crate) refused: u64,
    /// Plain bytes of peers and for them.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last_refusal: Option<ErrorLine>,
    /// Of a route that serves HTTP.
    #[serde(default)]
    pub(crate) http: Option<HttpStatus>,
}

/// The requests of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HttpStatus {
    /// So many of each class, from 1xx to 5xx: the application's and ours.
    pub(crate) answers: [u64; 5],
    /// Those that we refused.
    pub(crate) refused: u64,
    /// Those that the application did not answer.
    pub(crate) no_answer: u64,
    /// The last one of either.
    pub(crate) last_refusal: Option<ErrorLine>,
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetStatus {
    pub(crate) target: String,
    /// False: it is set aside, and tried only when no other one answers.
    pub(crate) up: bool,
    /// Since when it is up or down.
    pub(crate) since: Option<Timestamp>,
    /// Connections that are open there, and dials.
    pub(crate) open: u64,
    /// The last one, however long ago.
    pub(crate) last_error: Option<ErrorLine>,
    /// Of a target that is a name.
    pub(crate) addresses: Vec<IpAddr>,
    /// Why those are of an earlier look-up.
    pub(crate) old_addresses: Option<String>,
}

/// Asks for routes when somebody wants to see them: counting is theirs, and goes on all the time.
#[derive(Clone)]
pub(crate) struct AskRoutes(pub(crate) Arc<dyn Fn() -> Vec<RouteStatus> + Send + Sync>);

impl fmt::Debug for AskRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskRoutes(..)")
    }
}

/// The SPIFFE Workload API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkloadStatus {
    /// Whether it is to be reached anywhere.
    pub(crate) listening: bool,
    /// Of all methods.
    pub(crate) streams: u64,
    /// Connections with an open stream.
    pub(crate) callers: u64,
    pub(crate) sds: SdsStatus,
    /// How the generation in force came to those who had the one before.
    pub(crate) rotation: Option<RotationStatus>,
    /// `minted`, `not yet`, or `validated only` if the source gives none.
    #[serde(default)]
    pub(crate) jwt_svids: String,
    pub(crate) last_denial: Option<CallerLine>,
}

/// Envoy's secret discovery service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SdsStatus {
    /// Of both kinds.
    pub(crate) streams: u64,
    /// Answers that Envoys refused.
    pub(crate) nacks: u64,
}

/// A rotation, as subscribers saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RotationStatus {
    pub(crate) generation: u64,
    /// How many streams were told so far.
    pub(crate) subscribers: u64,
    /// From the switch until the last of them had its message handed to its connection.
    pub(crate) slowest_seconds: f64,
}

/// Something that went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorLine {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// The library's time as status and logs show it; a time beyond the year 9999 is shown as its end.
pub(crate) fn timestamp(at: UnixTime) -> Timestamp {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
