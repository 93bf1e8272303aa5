//! A key that tokens are signed with. In: claims. Out: JWTs (RFC 7519, ES256), and the public key as a JWK (RFC 7517). Never writes the private
//! key anywhere: it lives as long as this value, and aws-lc wipes it.
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

impl SigningKey {
    /// A new key. Its name is of the key itself, so that no two have one name.
    pub(crate) fn new() -> Result<Self, Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let sum = digest(&SHA256, pair.public_key().as_ref());
        let id = format!("mwid-development-{}", URL_SAFE_NO_PAD.encode(&sum.as_ref()[..9]));
        Ok(Self { pair, id })
    }

    pub(crate) fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, Unspecified> {
        let header = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = Zeroizing::new(format!("{}.{}", part(&header), part(claims)));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes())?;
        *token = format!("{}.{}", *token, URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    /// For this use: `sig`, `jwt-svid`.
    pub(crate) fn public(&self, usage: &str) -> Map<String, Value> {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let members = [
            ("kty", "EC".to_owned()),
            ("crv", "P-256".to_owned()),
            ("use", usage.to_owned()),
            ("alg", "ES256".to_owned()),
            ("kid", self.id.clone()),
            ("x", URL_SAFE_NO_PAD.encode(x)),
            ("y", URL_SAFE_NO_PAD.encode(y)),
        ];
        let member = |(name, value): (&str, String)| (name.to_owned(), Value::String(value));
        members.into_iter().map(member).collect()
    }
}

#[cfg(test)]
impl SigningKey {
    /// Of anything.
    pub(super) fn signature(&self, bytes: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), bytes).unwrap();
        signature.as_ref().to_vec()
    }
}

/// Its name is no secret; nothing else is shown.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
