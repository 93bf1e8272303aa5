//! Validation of JWT-SVIDs (JWT-SVID sections 2 to 5; RFC 7519 section 7.2).
//!
//! In: a token, the audience that asks, trust bundles, the time. Out: whom it speaks of, and its claims. Never believes a claim before the
//! signature holds, but the one that says whose key it must be; never takes a key of another trust domain.
mod claims;
mod refusal;
#[cfg(test)]
mod tests;

pub(crate) use refusal::Refusal;

use super::compact::Compact;
use super::key::Key;
use mtls_identity::{SpiffeId, TrustBundles, UnixTime};
use serde_json::{Map, Value};

/// For a token that names no key: a domain has two or three while it changes them.
const MOST_TRIED: usize = 16;

/// A JWT-SVID that holds.
#[derive(Debug)]
pub(crate) struct Valid {
    pub(crate) id: SpiffeId,
    /// All that it says.
    pub(crate) claims: Map<String, Value>,
}

/// Whether a token is a valid JWT-SVID for an audience, now.
///
/// The standard lets a small leeway pass; an expired token gets none here, since it was made on this machine's time or by somebody who knows
/// that clocks differ. `nbf` and `iat` of a clock a little ahead are taken.
pub(crate) fn validate(
    token: &str,
    audience: &str,
    bundles: &TrustBundles,
    now: UnixTime,
) -> Result<Valid, Refusal> {
    let compact = Compact::read(token)?;
    let id = claims::subject(&compact.claims)?;
    is_signed(&compact, &id, bundles)?;
    claims::times(&compact.claims, now)?;
    claims::audience(&compact.claims, audience)?;
    Ok(Valid {
        id,
        claims: compact.claims,
    })
}

/// By a key of its subject's own trust domain.
fn is_signed(compact: &Compact<'_>, id: &SpiffeId, bundles: &TrustBundles) -> Result<(), Refusal> {
    let trust_domain = || id.trust_domain().clone();
    let bundle = bundles.get(id.trust_domain()).ok_or_else(|| Refusal::NoBundle {
        trust_domain: trust_domain(),
    })?;
    if bundle.jwt_keys().is_empty() {
        return Err(Refusal::NoKeys {
            trust_domain: trust_domain(),
        });
    }
    let (algorithm, key_id) = (compact.algorithm, compact.key_id.as_deref());
    let keys = bundle.jwt_keys().iter();
    let meant: Vec<Key> = keys
        .filter_map(|jwk| Key::meant(jwk, algorithm, key_id))
        .take(MOST_TRIED)
        .collect();
    if meant.is_empty() {
        return Err(Refusal::UnknownKey {
            trust_domain: trust_domain(),
        });
    }
    let holds = |key: &Key| key.verifies(algorithm, compact.signed, &compact.signature);
    if meant.iter().any(holds) {
        Ok(())
    } else {
        Err(Refusal::Signature)
    }
}
