//! The JWS Compact Serialization (RFC 7515 section 7.1) of a JWT-SVID. In: text that somebody handed in. Out: its parts, not yet believed. Never
//! guesses: two readers could not differ about what comes out.
use super::algorithm::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mtls_identity::strict_json::{self, StrictJsonError};
use serde_json::{Map, Value};

/// A hundred times what is usual; a key in `kid` and a few audiences have room.
pub(super) const LONGEST: usize = 16 * 1024;

/// Parts of a token.
pub(super) struct Compact<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What the signature is of.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

/// Why a text is no such token. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompactError {
    #[error("it is {found} bytes long; at most {LONGEST} are read")]
    TooLong { found: usize },
    #[error("it has not three parts with dots between them: only the JWS Compact Serialization is taken")]
    Parts,
    #[error("its {0} is not base64url without padding")]
    Base64(Part),
    #[error("its {0} is no JSON object")]
    Json(Part),
    #[error("its {0} holds a key twice in one object; readers differ in which one they take")]
    Doubled(Part),
    #[error("its header has a parameter besides alg, kid and typ, which a JWT-SVID must not have")]
    Parameter,
    #[error("its alg is none of RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512")]
    Algorithm,
    #[error("its typ is neither JWT nor JOSE")]
    Type,
    #[error("its kid is no text")]
    KeyId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Header,
    Payload,
    Signature,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

impl<'a> Compact<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, CompactError> {
        if text.len() > LONGEST {
            return Err(CompactError::TooLong { found: text.len() });
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(CompactError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(CompactError::Parts)?;
        if payload.contains('.') {
            return Err(CompactError::Parts);
        }
        let mut header = object(header, Part::Header)?;
        let algorithm = match header.remove("alg") {
            Some(Value::String(name)) => Algorithm::named(&name),
            _ => None,
        };
        let algorithm = algorithm.ok_or(CompactError::Algorithm)?;
        // JWT-SVID sections 2.2 and 2.3.
        let key_id = match header.remove("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(CompactError::KeyId),
        };
        match header.remove("typ") {
            None => {}
            Some(Value::String(kind)) if kind == "JWT" || kind == "JOSE" => {}
            Some(_) => return Err(CompactError::Type),
        }
        if !header.is_empty() {
            return Err(CompactError::Parameter);
        }
        Ok(Self {
            algorithm,
            key_id,
            claims: object(payload, Part::Payload)?,
            signed: signed.as_bytes(),
            signature: decoded(signature, Part::Signature)?,
        })
    }
}

/// The engine takes one text for one run of bytes: left-over bits must be zero.
fn decoded(text: &str, part: Part) -> Result<Vec<u8>, CompactError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CompactError::Base64(part))
}

fn object(text: &str, part: Part) -> Result<Map<String, Value>, CompactError> {
    strict_json::object(&decoded(text, part)?).map_err(|error| match error {
        StrictJsonError::DuplicateKey { .. } => CompactError::Doubled(part),
        _ => CompactError::Json(part),
    })
}
