//! Keys of service accounts, the JWTs that they sign, and ID tokens.
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use std::sync::OnceLock;

/// The key of a service account.
#[derive(Debug)]
pub struct ServiceKey {
    /// PKCS#8.
    pub pem: String,
    /// `private_key_id`.
    pub id: String,
    pub(super) public: Vec<u8>,
}

impl ServiceKey {
    /// One for the whole test program: making it takes a while.
    pub fn shared() -> &'static Self {
        static KEY: OnceLock<ServiceKey> = OnceLock::new();
        KEY.get_or_init(|| Self::generate("0123456789abcdef"))
    }

    /// A new one.
    pub fn generate(id: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        Self {
            pem: format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                lines.join("\n")
            ),
            id: id.to_owned(),
            public: pair.public_key().as_ref().to_vec(),
        }
    }
}

/// Header and claims, if the signature is right.
pub(super) fn verified(jwt: &str, public: &[u8]) -> Result<(Value, Value), String> {
    let (message, signature) = jwt.rsplit_once('.').ok_or("no JWT")?;
    let (header, claims) = message.split_once('.').ok_or("no JWT")?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| e.to_string());
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(message.as_bytes(), &decoded(signature)?)
        .map_err(|_| "Invalid JWT Signature.".to_owned())?;
    let json = |part: &str| serde_json::from_slice(&decoded(part)?).map_err(|e| e.to_string());
    Ok((json(header)?, json(claims)?))
}

/// The claims, whoever signed.
pub(super) fn claims(jwt: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// An ID token whose signature nobody checks.
pub(super) fn id_token(claims: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(r#"{"alg":"RS256","typ":"JWT"}"#),
        part(&claims.to_string()),
        part("signature")
    )
}
