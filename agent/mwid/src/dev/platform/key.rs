//! The key that development tokens are signed with. In: claims. Out: JWTs (RFC 7519, ES256), and the public key as a JWKS (RFC 7517). Never
//! writes the private key anywhere: it lives as long as the process.
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(super) struct Key {
    pair: EcdsaKeyPair,
    /// Of the key itself, so that no two development platforms share a name.
    id: String,
}

impl Key {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let sum = digest(&SHA256, pair.public_key().as_ref());
        let id = format!("mwid-development-{}", URL_SAFE_NO_PAD.encode(&sum.as_ref()[..9]));
        Ok(Self { pair, id })
    }

    pub(super) fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    pub(super) fn jwks(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [{
            "kty": "EC",
            "crv": "P-256",
            "use": "sig",
            "alg": "ES256",
            "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}
