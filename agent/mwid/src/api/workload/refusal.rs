//! Why there is nothing to have, in the codes and words that SPIFFE clients act on.
//!
//! `PERMISSION_DENIED` is a settled decision about the caller, and some clients ask never again after it; its words begin with a text that others look
//! for. Whatever may pass is `UNAVAILABLE`, after which all of them come again.
use super::guest::Denied;
use super::hub::Now;
use crate::caller::Denial;
use crate::grpc::{Code, Status};
use crate::health::status::timestamp;
use crate::report::Causes;

/// SPIRE's words; the Rust library looks for them to tell this denial from others.
const NO_IDENTITY_ISSUED: &str = "no identity issued";

/// SPIFFE Workload Endpoint, section 6.1: the header that no web page, and no proxy of one, sends.
pub(super) fn no_header() -> Status {
    Status::new(Code::INVALID_ARGUMENT, "security header missing from request")
}

/// In this version, or from this platform, there is no such thing (SPIFFE Workload API, section 4).
pub(super) fn unimplemented(what: &'static str) -> Status {
    Status::new(Code::UNIMPLEMENTED, what)
}

/// To a caller who may have an identity, but not the one that he asks for.
pub(super) fn not_issued() -> Status {
    Status::new(Code::PERMISSION_DENIED, NO_IDENTITY_ISSUED).taking_back()
}

/// Also one that may pass takes back what its caller has a part of: who asks on may be another.
pub(super) fn denied(denied: &Denied) -> Status {
    let status = match denied {
        Denied::NotGranted => not_issued(),
        Denied::NotLookedUp => Status::new(
            Code::UNAVAILABLE,
            "workload attestation failed: mwid cannot see now what an access rule asks about you; ask again",
        ),
        Denied::Unattested(denial) if is_settled(denial) => Status::new(
            Code::PERMISSION_DENIED,
            format!("{NO_IDENTITY_ISSUED}: {}", Causes(&**denial)),
        ),
        Denied::Unattested(denial) => Status::new(
            Code::UNAVAILABLE,
            format!("workload attestation failed: {}", Causes(&**denial)),
        ),
    };
    status.taking_back()
}

/// Whether the same process, asking again, would be denied again.
fn is_settled(denial: &Denial) -> bool {
    matches!(
        denial,
        Denial::Pid { .. } | Denial::Uid { .. } | Denial::SocketUid { .. } | Denial::NotLoopback { .. }
    )
}

/// Why a caller who may have the identity gets none; nothing if there is one.
pub(super) fn no_identity(now: &Now) -> Option<Status> {
    Some(match now {
        Now::Alive(_) => return None,
        Now::Unwanted => not_issued(),
        Now::Waiting => Status::new(
            Code::UNAVAILABLE,
            "mwid has no identity yet: ask again; mwid status says what it waits for",
        ),
        Now::Expired(at) => Status::new(
            Code::UNAVAILABLE,
            format!(
                "the identity expired at {} and no new one has come: ask again; mwid status says why",
                timestamp(*at)
            ),
        ),
    })
}

/// To who had taken a part of what is no more in force.
pub(super) fn replaced() -> Status {
    Status::new(
        Code::UNAVAILABLE,
        "the identity was replaced before its message was taken: ask again",
    )
}

/// mwid ends, or this listener.
pub(super) fn stopping() -> Status {
    Status::new(Code::UNAVAILABLE, "mwid stops: connect again")
}
