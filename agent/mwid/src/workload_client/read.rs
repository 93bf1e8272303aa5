//! Answers in forms that can be proven. In: messages. Out: candidates, and bundles by trust domain. Leaves no key behind, merges no bundles.
use super::error::AnswerError;
use crate::proto::workload as messages;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, SpiffeId, TrustBundle, TrustBundles, TrustDomain};
use pki_types::CertificateDer;
use prost_types::value::Kind;
use serde_json::Value;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// An X.509-SVID as it was delivered, not yet proven.
pub(crate) struct Svid {
    /// Whose it is said to be: the certificate has the last word.
    pub(crate) id: SpiffeId,
    pub(crate) hint: String,
    pub(crate) candidate: Candidate,
}

/// A JWT-SVID as it was delivered, not yet proven.
pub(crate) struct JwtSvid {
    /// Whose it is said to be: the token has the last word.
    pub(crate) id: SpiffeId,
    pub(crate) hint: String,
    pub(crate) token: Zeroizing<String>,
}

/// What is kept of a name that somebody else wrote.
const SHOWN: usize = 300;

pub(super) fn svids(answer: messages::X509svidResponse) -> Result<Vec<Svid>, AnswerError> {
    // Taken over at once, so that all keys are wiped whatever comes.
    let keyed = answer.svids.into_iter().map(|mut svid| {
        let key = Zeroizing::new(std::mem::take(&mut svid.x509_svid_key));
        (svid, key)
    });
    let keyed: Vec<_> = keyed.collect();
    if keyed.is_empty() {
        return Err(AnswerError::NoSvid);
    }
    let federated = bundles(&answer.federated_bundles, x509_bundle)?;
    let svid = |(position, (svid, key)): (usize, (messages::X509svid, Zeroizing<Vec<u8>>))| {
        let id = SpiffeId::parse(&svid.spiffe_id).map_err(|source| AnswerError::Id {
            position,
            said: shown(&svid.spiffe_id),
            source,
        })?;
        let mut all = federated.clone();
        let own = x509_bundle(id.trust_domain().clone(), &svid.bundle)?;
        all.insert(own).map_err(AnswerError::Bundle)?;
        Ok(Svid {
            candidate: Candidate {
                certificates_pem: chain(&svid.x509_svid)?,
                private_key_pem: pem("PRIVATE KEY", &key),
                bundles: CandidateBundles::Parsed(all),
            },
            hint: svid.hint,
            id,
        })
    };
    (1..).zip(keyed).map(svid).collect()
}

pub(super) fn jwt_svids(answer: messages::JwtsvidResponse) -> Result<Vec<JwtSvid>, AnswerError> {
    // Taken over at once, so that all tokens are wiped whatever comes.
    let tokens = answer.svids.into_iter().map(|mut svid| {
        let token = Zeroizing::new(std::mem::take(&mut svid.svid));
        (svid, token)
    });
    let tokens: Vec<_> = tokens.collect();
    if tokens.is_empty() {
        return Err(AnswerError::NoSvid);
    }
    let svid = |(position, (svid, token)): (usize, (messages::Jwtsvid, Zeroizing<String>))| {
        let id = SpiffeId::parse(&svid.spiffe_id).map_err(|source| AnswerError::Id {
            position,
            said: shown(&svid.spiffe_id),
            source,
        })?;
        let hint = svid.hint;
        Ok(JwtSvid { id, hint, token })
    };
    (1..).zip(tokens).map(svid).collect()
}

pub(super) fn x509_bundles(answer: &messages::X509BundlesResponse) -> Result<TrustBundles, AnswerError> {
    bundles(&answer.bundles, x509_bundle)
}

pub(super) fn jwt_bundles(answer: &messages::JwtBundlesResponse) -> Result<TrustBundles, AnswerError> {
    bundles(&answer.bundles, jwt_bundle)
}

/// By SPIFFE ID of the trust domain (SPIFFE Workload API, sections 5.1 and 6.1).
fn bundles(
    named: &BTreeMap<String, Vec<u8>>,
    read: impl Fn(TrustDomain, &[u8]) -> Result<TrustBundle, AnswerError>,
) -> Result<TrustBundles, AnswerError> {
    let mut all = TrustBundles::default();
    for (name, bytes) in named {
        let domain = name.strip_prefix("spiffe://").unwrap_or(name);
        let domain = TrustDomain::parse(domain).map_err(|source| AnswerError::TrustDomain {
            said: shown(name),
            source,
        })?;
        all.insert(read(domain, bytes)?).map_err(AnswerError::Bundle)?;
    }
    Ok(all)
}

fn x509_bundle(domain: TrustDomain, der: &[u8]) -> Result<TrustBundle, AnswerError> {
    let roots = certificates(der, "a bundle")?;
    TrustBundle::from_roots(domain, roots).map_err(AnswerError::Bundle)
}

/// A plain JWK set, all of whose keys are for JWT-SVIDs; a bundle document says so of each.
fn jwt_bundle(domain: TrustDomain, json: &[u8]) -> Result<TrustBundle, AnswerError> {
    let mut document: Value = serde_json::from_slice(json).unwrap_or_default();
    let keys = document.get_mut("keys").and_then(Value::as_array_mut);
    for key in keys.into_iter().flatten().filter_map(Value::as_object_mut) {
        key.insert("use".to_owned(), "jwt-svid".into());
    }
    // What was no document is told of as it came.
    let said = match document {
        Value::Object(_) => document.to_string().into_bytes(),
        _ => json.to_vec(),
    };
    TrustBundle::from_spiffe_json(domain, &said).map_err(AnswerError::Bundle)
}

fn chain(der: &[u8]) -> Result<Zeroizing<Vec<u8>>, AnswerError> {
    let mut all = Zeroizing::new(Vec::new());
    for certificate in certificates(der, "an SVID's chain")? {
        all.extend_from_slice(&pem("CERTIFICATE", &certificate));
    }
    Ok(all)
}

/// One after another, without anything between them.
fn certificates(mut der: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, AnswerError> {
    let mut all = vec![];
    while !der.is_empty() {
        let (rest, _) = X509Certificate::from_der(der).map_err(|_| AnswerError::Certificates { what })?;
        let (one, _) = der.split_at(der.len() - rest.len());
        all.push(one.to_vec().into());
        der = rest;
    }
    Ok(all)
}

/// RFC 7468. Of the right size from the start, so that no part of a key stays behind where the text was before it grew.
fn pem(label: &str, der: &[u8]) -> Zeroizing<Vec<u8>> {
    let lines = der.chunks(48);
    let mut text = Zeroizing::new(Vec::with_capacity(2 * (label.len() + 32) + lines.len() * 65));
    text.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in lines {
        text.extend_from_slice(Zeroizing::new(BASE64_STANDARD.encode(line)).as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    text
}

/// As JSON. Numbers come as floating ones; those that are whole are written so.
pub(super) fn claims(claims: prost_types::Struct) -> Value {
    let fields = claims
        .fields
        .into_iter()
        .map(|(name, claim)| (name, value(claim)));
    Value::Object(fields.collect())
}

fn value(value_of: prost_types::Value) -> Value {
    match value_of.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(is)) => is.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::StructValue(fields)) => claims(fields),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value).collect(),
        Some(Kind::NumberValue(number)) => number_of(number),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only what a float holds exactly")]
fn number_of(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        (number as i64).into()
    } else {
        number.into()
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
