//! SPIFFE bundles: JWK sets (RFC 7517) read and written.

use super::{BundleError, MAX_KEYS, TrustBundle};
use crate::certificate;
use crate::spiffe_id::TrustDomain;
use crate::spki::PublicKey;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use pki_types::CertificateDer;
use serde_json::{Map, Value};
use std::time::Duration;

const X509: &str = "x509-svid";
const JWT: &str = "jwt-svid";
const SEQUENCE: &str = "spiffe_sequence";
const REFRESH_HINT: &str = "spiffe_refresh_hint";
/// Of private keys (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reads a document that was parsed already.
pub(super) fn read_set(
    trust_domain: TrustDomain,
    mut set: Map<String, Value>,
) -> Result<TrustBundle, BundleError> {
    let sequence = whole_number(&set, SEQUENCE)?;
    let refresh_hint = whole_number(&set, REFRESH_HINT)?.map(Duration::from_secs);
    let Some(Value::Array(keys)) = set.remove("keys") else {
        return Err(BundleError::Member {
            member: "keys",
            wanted: "an array of JWKs",
        });
    };
    if keys.len() > MAX_KEYS {
        return Err(BundleError::TooManyKeys {
            found: keys.len(),
            limit: MAX_KEYS,
        });
    }
    let (mut roots, mut jwt_keys) = (Vec::new(), Vec::new());
    for (position, key) in (1..).zip(keys) {
        match read_key(position, key)? {
            Key::Root(root) => roots.push(root),
            Key::Jwt(key) => jwt_keys.push(key),
            Key::Skip => {}
        }
    }
    let mut bundle = TrustBundle::new(trust_domain, roots, jwt_keys)?;
    bundle.sequence = sequence;
    bundle.refresh_hint = refresh_hint;
    Ok(bundle)
}

enum Key {
    Root(CertificateDer<'static>),
    Jwt(Map<String, Value>),
    Skip,
}

fn read_key(position: usize, key: Value) -> Result<Key, BundleError> {
    let wrong = |member, wanted| BundleError::Key {
        position,
        member,
        wanted,
    };
    let Value::Object(key) = key else {
        return Err(wrong("the whole", "a JWK, which is a JSON object"));
    };
    let text = |member| match key.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(member, "a string")),
    };
    let usage = text("use")?;
    let known_type = match text("kty")? {
        Some(kty) => matches!(kty, "EC" | "RSA" | "OKP"),
        None => return Err(wrong("kty", "there (RFC 7517 section 4.1)")),
    };
    match usage {
        Some(X509) if known_type => {
            let x5c = key.get("x5c").and_then(Value::as_array).map(Vec::as_slice);
            let Some([Value::String(base64)]) = x5c else {
                return Err(wrong(
                    "x5c",
                    "an array of exactly one certificate (X509-SVID section 6.1)",
                ));
            };
            let der = BASE64_STANDARD
                .decode(base64)
                .map_err(|_| wrong("x5c", "standard base64 of DER, with padding, not base64url"))?;
            Ok(Key::Root(der.into()))
        }
        Some(JWT) if known_type => Ok(Key::Jwt(key)),
        _ => Ok(Key::Skip),
    }
}

fn whole_number(set: &Map<String, Value>, member: &'static str) -> Result<Option<u64>, BundleError> {
    match set.get(member) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(BundleError::Member {
                member,
                wanted: "a whole number of at most 64 bits",
            }),
        },
    }
}

/// A key that must be one for JWT-SVIDs.
pub(super) fn jwt_key(position: usize, key: Map<String, Value>) -> Result<Map<String, Value>, BundleError> {
    let wrong = |member, wanted| BundleError::Key {
        position,
        member,
        wanted,
    };
    if key_id(&key).is_none() {
        return Err(wrong("kid", "a string that is not empty (JWT-SVID section 6.1)"));
    }
    match read_key(position, Value::Object(key))? {
        Key::Jwt(key) => Ok(key),
        _ => Err(wrong("use", "jwt-svid, of a known kty (JWT-SVID section 6.1)")),
    }
}

fn key_id(key: &Map<String, Value>) -> Option<&str> {
    key.get("kid").and_then(Value::as_str).filter(|id| !id.is_empty())
}

/// The keys for JWT-SVIDs alone.
pub(super) fn write_jwt_set(bundle: &TrustBundle) -> Map<String, Value> {
    let named = bundle.jwt_keys.iter().filter(|key| key_id(key).is_some());
    let public = named.map(|key| {
        let mut key = key.clone();
        key.retain(|member, _| !PRIVATE.contains(&member.as_str()));
        Value::Object(key)
    });
    Map::from_iter([("keys".to_owned(), public.collect())])
}

/// The document as a JSON object.
pub(super) fn write_set(bundle: &TrustBundle) -> Map<String, Value> {
    let roots = bundle.roots.iter().filter_map(write_root).map(Value::Object);
    let jwt_keys = bundle.jwt_keys.iter().cloned().map(Value::Object);
    let mut set = Map::new();
    set.insert("keys".into(), roots.chain(jwt_keys).collect());
    if let Some(sequence) = bundle.sequence {
        set.insert(SEQUENCE.into(), sequence.into());
    }
    if let Some(hint) = bundle.refresh_hint {
        set.insert(REFRESH_HINT.into(), hint.as_secs().into());
    }
    set
}

/// X509-SVID section 6.1: no `kid`. RFC 7518 section 6 and RFC 8037 for the members of each key type.
fn write_root(root: &CertificateDer<'static>) -> Option<Map<String, Value>> {
    let parsed = certificate::parse(root).ok()?;
    let url = |bytes: &[u8]| Value::String(BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let members: Vec<(&str, Value)> = match PublicKey::of(parsed.public_key())? {
        PublicKey::Ec { curve, x, y } => {
            vec![
                ("kty", "EC".into()),
                ("crv", curve.into()),
                ("x", url(x)),
                ("y", url(y)),
            ]
        }
        PublicKey::Rsa { modulus, exponent } => {
            vec![("kty", "RSA".into()), ("n", url(modulus)), ("e", url(exponent))]
        }
        PublicKey::Ed25519(key) => vec![("kty", "OKP".into()), ("crv", "Ed25519".into()), ("x", url(key))],
    };
    let common = [
        ("use", Value::from(X509)),
        ("x5c", Value::Array(vec![BASE64_STANDARD.encode(root).into()])),
    ];
    Some(
        members
            .into_iter()
            .chain(common)
            .map(|(name, value)| (name.into(), value))
            .collect(),
    )
}
