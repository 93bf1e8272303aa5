//! Public keys as JWKs (RFC 7517; RFC 7518 section 6). In: a JWK of a trust bundle. Out: whether a signature is its. Never uses a key for an
//! algorithm that it was not made for.
use super::algorithm::{Algorithm, Curve, Verifier};
use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

pub(super) enum Key {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// 4, x, y.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
}

impl Key {
    /// None: no key that we know.
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |member| jwk.get(member).and_then(Value::as_str);
        let number = |member| URL_SAFE_NO_PAD.decode(text(member)?).ok();
        match text("kty")? {
            "RSA" => Some(Self::Rsa {
                modulus: number("n")?,
                exponent: number("e")?,
            }),
            "EC" => {
                let curve = Curve::named(text("crv")?)?;
                let (x, y) = (number("x")?, number("y")?);
                // RFC 7518 section 6.2.1.2: the full size of a coordinate.
                (x.len() == curve.size() && y.len() == curve.size()).then(|| Self::Ec {
                    curve,
                    point: [&[4], &*x, &*y].concat(),
                })
            }
            _ => None,
        }
    }

    fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm.verifier()) {
            (Self::Rsa { modulus, exponent }, Verifier::Rsa(parameters)) => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, signed, signature).is_ok()
            }
            (Self::Ec { curve, point }, Verifier::Ec(wanted)) if *curve == wanted => {
                let key = UnparsedPublicKey::new(curve.algorithm(), point);
                key.verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// Whether a JWK may be asked about a signature: it is the one that the token names, if it names one (JWT-SVID section 2.2), and for this
/// algorithm, if it says so (RFC 7517 section 4.4).
pub(super) fn is_meant(jwk: &Map<String, Value>, key_id: Option<&str>, name: &str) -> bool {
    let text = |member| jwk.get(member).and_then(Value::as_str);
    let named = match (text("kid"), key_id) {
        (None | Some(""), _) => false,
        (Some(_), None) => true,
        (Some(has), Some(wanted)) => has == wanted,
    };
    named && jwk.get("alg").is_none_or(|alg| alg == name)
}

pub(super) fn verifies(
    jwk: &Map<String, Value>,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8],
) -> bool {
    Key::read(jwk).is_some_and(|key| key.verifies(algorithm, signed, signature))
}
