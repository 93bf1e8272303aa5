//! A JWT-SVID taken apart, and its signature (JWT-SVID; RFC 7515).
use super::jwks::KeySet;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The signature algorithms that a JWT-SVID may have (JWT-SVID, 2.1).
pub const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
];

/// Its parts.
pub struct Token<'a> {
    /// JOSE header.
    pub header: Map<String, Value>,
    /// Claims.
    pub claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Of JWS Compact Serialization: three parts of base64url without padding.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(format!("{} parts in place of three", parts.len()));
        };
        let bytes = |name: &str, part: &str| {
            BASE64_URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|why| format!("the {name} is no base64url ({why})"))
        };
        let object = |name: &str, part: &str| match serde_json::from_slice(&bytes(name, part)?) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(format!("the {name} is no JSON object")),
        };
        Ok(Self {
            header: object("header", header)?,
            claims: object("payload", claims)?,
            signature: bytes("signature", signature)?,
            signed: &text[..header.len() + 1 + claims.len()],
        })
    }

    /// A text member of the header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// `aud`, one or many.
    pub fn audience(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        }
    }

    /// `exp`, a number of seconds.
    pub fn expiry(&self) -> Option<f64> {
        self.claims.get("exp").and_then(Value::as_f64)
    }

    /// Whether one of the keys made the signature.
    pub fn verify(&self, keys: &KeySet) -> Result<(), String> {
        let alg = self.header("alg").unwrap_or_default();
        let kid = self.header("kid");
        let candidates: Vec<_> = keys
            .keys
            .iter()
            .filter(|key| kid.is_none() || key.text("kid") == kid)
            .collect();
        if candidates.is_empty() {
            return Err("no key of the bundle has the token's kid".to_owned());
        }
        let holds = |key: &&super::jwks::Key| self.holds(alg, key).unwrap_or(false);
        if candidates.iter().any(holds) {
            return Ok(());
        }
        Err(format!("the signature ({alg}) is of no key in the bundle"))
    }

    fn holds(&self, alg: &str, key: &super::jwks::Key) -> Option<bool> {
        if let Some(rsa) = rsa(alg) {
            let (n, e) = (key.bytes("n")?, key.bytes("e")?);
            let parts = RsaPublicKeyComponents { n: &n, e: &e };
            return Some(parts.verify(rsa, self.signed.as_bytes(), &self.signature).is_ok());
        }
        let (curve, size, algorithm) = ecdsa(alg)?;
        let (x, y) = (key.bytes("x")?, key.bytes("y")?);
        if key.text("crv") != Some(curve) || x.len() != size || y.len() != size {
            return Some(false);
        }
        let point = [&[4][..], &x, &y].concat();
        let key = UnparsedPublicKey::new(algorithm, &point);
        Some(key.verify(self.signed.as_bytes(), &self.signature).is_ok())
    }
}

fn rsa(alg: &str) -> Option<&'static RsaParameters> {
    Some(match alg {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(alg: &str) -> Option<(&'static str, usize, &'static EcdsaVerificationAlgorithm)> {
    Some(match alg {
        "ES256" => ("P-256", 32, &ECDSA_P256_SHA256_FIXED),
        "ES384" => ("P-384", 48, &ECDSA_P384_SHA384_FIXED),
        "ES512" => ("P-521", 66, &ECDSA_P521_SHA512_FIXED),
        _ => return None,
    })
}
