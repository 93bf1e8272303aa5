//! The list. A check is one normative sentence with its source, and a look at what it demands. In: a [`Server`] that was asked already, and can
//! be asked more. Out: an [`Outcome`].
mod bundles;
mod chain;
mod delta;
mod delta_changes;
mod denied;
mod endpoint;
mod framing;
mod grpc;
mod header;
mod id;
mod jwks;
mod jwt;
mod leaf;
mod rotation;
mod sds;
mod sds_names;
mod signing;
mod stream;
mod validate;
mod wit;
mod x509;

use crate::seen::Server;
use futures_util::future::BoxFuture;

/// How strongly a sentence demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// MUST, MUST NOT, REQUIRED.
    Must,
    /// SHOULD, SHOULD NOT, RECOMMENDED.
    Should,
}

/// Where a sentence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// SPIFFE_Workload_Endpoint.md
    Endpoint,
    /// SPIFFE_Workload_API.md and workloadapi.proto
    WorkloadApi,
    /// SPIFFE-ID.md
    Id,
    /// X509-SVID.md
    X509,
    /// JWT-SVID.md
    Jwt,
    /// SPIFFE_Trust_Domain_and_Bundle.md
    Bundle,
    /// WIT-SVID.md
    Wit,
    /// grpc/grpc, doc/PROTOCOL-HTTP2.md, compression.md, statuscodes.md
    Grpc,
    /// RFC 9113
    Http2,
    /// Envoy, xDS REST and gRPC protocol, with discovery.proto
    Xds,
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Endpoint => "Workload Endpoint",
            Self::WorkloadApi => "Workload API",
            Self::Id => "SPIFFE-ID",
            Self::X509 => "X509-SVID",
            Self::Jwt => "JWT-SVID",
            Self::Bundle => "Trust Domain and Bundle",
            Self::Wit => "WIT-SVID",
            Self::Grpc => "gRPC",
            Self::Http2 => "RFC 9113",
            Self::Xds => "xDS",
        })
    }
}

/// One sentence.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// `group.name`.
    pub id: &'static str,
    /// How strongly.
    pub level: Level,
    /// Which document.
    pub document: Document,
    /// Where in it.
    pub section: &'static str,
    /// What it demands, in our words.
    pub says: &'static str,
    /// How it is looked at.
    pub look: Look,
}

/// How a check looks.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// At what the server was seen to say.
    At(fn(&Server) -> Outcome),
    /// By asking more.
    Ask(for<'a> fn(&'a Server) -> BoxFuture<'a, Outcome>),
}

/// What passes says what was seen.
pub type Outcome = Result<String, Finding>;

/// What does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The sentence is broken.
    Fails(String),
    /// The sentence could not be looked at.
    Skipped(String),
}

impl From<crate::wire::Trouble> for Finding {
    fn from(trouble: crate::wire::Trouble) -> Self {
        Self::Fails(trouble.to_string())
    }
}

/// Every check, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        endpoint::CHECKS,
        header::CHECKS,
        grpc::CHECKS,
        framing::CHECKS,
        stream::CHECKS,
        x509::CHECKS,
        chain::CHECKS,
        id::CHECKS,
        leaf::CHECKS,
        signing::CHECKS,
        bundles::CHECKS,
        jwt::CHECKS,
        jwks::CHECKS,
        validate::CHECKS,
        wit::CHECKS,
        denied::CHECKS,
        sds::CHECKS,
        sds_names::CHECKS,
        delta::CHECKS,
        delta_changes::CHECKS,
        rotation::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// A check without its demand; see [`Check`].
const fn must(
    id: &'static str,
    document: Document,
    section: &'static str,
    says: &'static str,
    look: Look,
) -> Check {
    Check {
        id,
        level: Level::Must,
        document,
        section,
        says,
        look,
    }
}

const fn should(
    id: &'static str,
    document: Document,
    section: &'static str,
    says: &'static str,
    look: Look,
) -> Check {
    Check {
        level: Level::Should,
        ..must(id, document, section, says, look)
    }
}

fn fails<T>(why: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Fails(why.into()))
}

fn skipped<T>(why: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Skipped(why.into()))
}

/// Passes with `seen`, or fails with `why`.
fn holds(holds: bool, seen: impl Into<String>, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(seen.into()) } else { fails(why()) }
}

/// All of the things must pass; the first that fails is told with its name. Skipped ones do not count while another passes.
fn each<T>(
    things: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> String,
    look: impl Fn(&T) -> Outcome,
) -> Outcome {
    let (mut passed, mut skip) = (vec![], None);
    for thing in things {
        match look(&thing) {
            Ok(seen) => passed.push(seen),
            Err(Finding::Fails(why)) => return fails(format!("{}: {why}", name(&thing))),
            Err(Finding::Skipped(why)) => skip = Some(why),
        }
    }
    match (passed.len(), skip) {
        (0, Some(why)) => skipped(why),
        (0, None) => skipped("there is none"),
        (1, _) => Ok(passed.remove(0)),
        (many, _) => Ok(format!("{many} looked at")),
    }
}
