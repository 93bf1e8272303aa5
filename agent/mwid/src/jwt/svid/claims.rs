//! The claims that the standard speaks of (JWT-SVID section 3). In: claims, the audience that asks, the time. Out: the subject, or what is
//! wrong. Never takes a claim of another type for one.
use super::Refusal;
use mtls_identity::{SpiffeId, UnixTime};
use serde_json::{Map, Value};

/// By so many seconds may the clock of who made the token be ahead.
const AHEAD: f64 = 60.0;

/// `sub`, a workload's SPIFFE ID.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<SpiffeId, Refusal> {
    let wrong = Refusal::Claim {
        claim: "sub",
        wanted: "the SPIFFE ID of a workload",
    };
    let id = match claims.get("sub") {
        Some(Value::String(id)) => SpiffeId::parse(id).ok(),
        _ => None,
    };
    id.filter(|id| !id.path().is_empty()).ok_or(wrong)
}

/// `exp`, and `nbf` and `iat` if they are there.
pub(super) fn times(claims: &Map<String, Value>, now: UnixTime) -> Result<(), Refusal> {
    #[expect(clippy::cast_precision_loss, reason = "exact for 200 million years")]
    let now = now.as_secs() as f64;
    match time(claims, "exp")? {
        // RFC 7519 section 4.1.4: not on the second itself either.
        Some(end) if now < end => {}
        Some(_) => return Err(Refusal::Expired),
        None => {
            return Err(Refusal::Claim {
                claim: "exp",
                wanted: "there",
            });
        }
    }
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|begin| begin > now + AHEAD) {
            return Err(Refusal::Early { claim });
        }
    }
    Ok(())
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<f64>, Refusal> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
    seconds.map(Some).ok_or(Refusal::Claim {
        claim,
        wanted: "seconds since 1970, a number",
    })
}

/// `aud`: one text, or a list of them (RFC 7519 section 4.1.3).
pub(super) fn audience(claims: &Map<String, Value>, asked: &str) -> Result<(), Refusal> {
    let wrong = Refusal::Claim {
        claim: "aud",
        wanted: "an audience, or a list of audiences that is not empty",
    };
    let all = match claims.get("aud") {
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(Value::Array(all)) if !all.is_empty() && all.iter().all(Value::is_string) => all,
        _ => return Err(wrong),
    };
    match all.iter().any(|one| one == asked) {
        true => Ok(()),
        false => Err(Refusal::Audience),
    }
}
