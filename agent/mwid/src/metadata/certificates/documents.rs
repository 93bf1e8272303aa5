//! The JSON documents. In: bytes. Out: their members that count, each key once. Never lets serde write an error's text: it would
//! quote what it found, which may be a key.
use super::error::{CertificatesError, Document};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use zeroize::Zeroizing;

/// A JSON object's members in their order; readers differ in which of two with one name they take, so there are none.
pub(super) struct Entries<T>(pub(super) Vec<(String, T)>);

/// Absent is empty.
impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Credential {
    #[serde(rename = "certificatePem")]
    pub(super) certificate_pem: String,
    /// Empty, or absent, where the platform withholds it.
    #[serde(rename = "privateKeyPem", default, deserialize_with = "secret")]
    pub(super) private_key_pem: Zeroizing<String>,
}

#[derive(serde::Deserialize)]
pub(super) struct Anchors {
    #[serde(rename = "trustAnchorsPem")]
    pub(super) trust_anchors_pem: String,
}

/// `status` was there once and is no more: what counts is what is delivered.
#[derive(serde::Deserialize)]
struct Identities {
    #[serde(rename = "workloadCredentials", default)]
    credentials: Entries<Credential>,
}

#[derive(serde::Deserialize)]
struct AllAnchors {
    #[serde(rename = "trustAnchors", default)]
    anchors: Entries<Anchors>,
}

pub(super) fn identities(json: &[u8]) -> Result<Entries<Credential>, CertificatesError> {
    parse::<Identities>(json, Document::WorkloadIdentities).map(|document| document.credentials)
}

pub(super) fn anchors(json: &[u8]) -> Result<Entries<Anchors>, CertificatesError> {
    parse::<AllAnchors>(json, Document::TrustAnchors).map(|document| document.anchors)
}

fn parse<T: DeserializeOwned>(json: &[u8], document: Document) -> Result<T, CertificatesError> {
    serde_json::from_slice(json).map_err(|error| CertificatesError::Json {
        document,
        line: error.line(),
        column: error.column(),
    })
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("doubled key"));
            }
            entries.push((name, value));
        }
        Ok(Entries(entries))
    }
}
