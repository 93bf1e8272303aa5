//! How much one stream may ask for. In: names as they came. Out: the same, or a refusal.
use super::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Envoy asks for one name a stream, others for a handful.
pub(in super::super) const MOST_NAMES: usize = 128;
/// A SPIFFE ID's most (SPIFFE-ID, section 2.3).
pub(super) const LONGEST_NAME: usize = 2048;
/// Of all names together: what a stream keeps of its caller's words.
pub(super) const MOST_BYTES: usize = 32 * 1024;
/// The bundles of as many domains as there can be, and more.
const MOST_KNOWN: usize = 1280;
/// Ours have 32; a longer one is from elsewhere and differs anyway.
pub(super) const LONGEST_VERSION: usize = 64;

/// What a client may say of all that it knows, under the longest names that trust domains have, beside the names that it asks for.
pub(in super::super) const MOST_WORDS: usize =
    MOST_KNOWN * (DOMAINS_ID + LONGEST_VERSION + HEADS) + MOST_BYTES + MOST_NAMES * HEADS + OTHERS;
/// `spiffe://` and a trust domain's most (SPIFFE-ID, section 2.1).
const DOMAINS_ID: usize = 9 + 255;
/// Keys and lengths around one.
const HEADS: usize = 12;
/// The node as far as it is read, the leaf's own ID, a nonce, and the words of a refusal.
const OTHERS: usize = 32 * 1024;

/// The type asked for; without a word it is the service's own.
pub(super) fn check_type(type_url: &str) -> Result<(), Refusal> {
    if type_url.is_empty() || type_url == super::super::wire::SECRET_TYPE {
        return Ok(());
    }
    Err(Refusal::WrongType {
        found: super::shortened(type_url),
    })
}

/// Names of one request, each looked at before anything is kept.
pub(super) fn check_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), Refusal> {
    for name in names {
        if name.len() > LONGEST_NAME {
            return Err(Refusal::NameTooLong {
                found: name.len(),
                limit: LONGEST_NAME,
            });
        }
    }
    Ok(())
}

/// What a client says that it has. All that there ever is can be more than anybody may name.
pub(super) fn check_known(versions: &BTreeMap<String, String>) -> Result<(), Refusal> {
    check_names(versions.keys())?;
    if versions.len() > MOST_KNOWN {
        return Err(Refusal::TooManyNames {
            found: versions.len(),
            limit: MOST_KNOWN,
        });
    }
    Ok(())
}

/// All that a stream is subscribed to.
pub(super) fn check_all(names: &BTreeSet<Arc<str>>) -> Result<(), Refusal> {
    if names.len() > MOST_NAMES {
        return Err(Refusal::TooManyNames {
            found: names.len(),
            limit: MOST_NAMES,
        });
    }
    let bytes: usize = names.iter().map(|name| name.len()).sum();
    if bytes > MOST_BYTES {
        return Err(Refusal::NamesTooLong {
            found: bytes,
            limit: MOST_BYTES,
        });
    }
    Ok(())
}

/// What a set of names takes: their bytes, and what stands beside each.
pub(super) fn kept<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> usize {
    const BESIDE: usize = 96;
    names.map(|name| name.len() + BESIDE).sum()
}
