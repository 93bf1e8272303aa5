//! Public keys as JWKs (RFC 7517; RFC 7518 section 6). In: a JWK of a trust bundle. Out: whether a signature is its. Never uses a key for an
//! algorithm that it was not made for.
use super::algorithm::{Algorithm, Curve, Verifier};
use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A key that fits a token.
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
    /// None: the JWK is not to be asked about a token of this algorithm that names this key, or none (JWT-SVID section 2.2). A JWK says what it is
    /// for by its type, and by `alg` if it has it (RFC 7517 section 4.4).
    pub(super) fn meant(
        jwk: &Map<String, Value>,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> Option<Self> {
        let name = jwk
            .get("kid")
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())?;
        let is_named = key_id.is_none_or(|wanted| wanted == name);
        let alg_fits = jwk.get("alg").is_none_or(|alg| alg == algorithm.name());
        let key = Self::read(jwk).filter(|key| key.fits(algorithm))?;
        (is_named && alg_fits).then_some(key)
    }

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

    fn fits(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm.verifier()) {
            (Self::Rsa { .. }, Verifier::Rsa(_)) => true,
            (Self::Ec { curve, .. }, Verifier::Ec(wanted)) => *curve == wanted,
            _ => false,
        }
    }

    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
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
