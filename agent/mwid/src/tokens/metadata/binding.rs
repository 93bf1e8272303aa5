//! Whether a token that the server gave is bound as it was asked to be. In: the binding, an ID token's own word, answers with and without the
//! binding. Out: yes, or what is missing. Never believes a server that shows no sign of having looked at the binding.
use crate::tokens::Binding;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

const FINGERPRINT: &str = "bindCertificateFingerprint";

/// Why a token is not taken for a bound one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindingError {
    #[error("its claim cnf does not name the certificate that was asked for")]
    Claim,
    #[error("only a certificate can be seen in an ID token, and the question names none that can be read")]
    NoCertificate,
    #[error("the server answers the same when it is asked without the binding")]
    Ignored,
    #[error(
        "the server answers each question with another token, so that nothing tells whether it looked at the binding"
    )]
    NoSign,
}

/// An ID token says itself which certificate it is bound to: `cnf` with the SHA-256 thumbprint (RFC 8705, 3.1).
pub(super) fn id_token(binding: &Binding, thumbprint: Option<&str>) -> Result<(), BindingError> {
    let asked = certificates(binding)?;
    let given = thumbprint.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    match given {
        Some(given) if asked.iter().all(|one| *one == given) => Ok(()),
        _ => Err(BindingError::Claim),
    }
}

/// An access token may be opaque. The server keeps its token and hands the same one out until little of its life is left, so one that ignores
/// the binding answers with a token that it also gives without. `before` and `after` were asked for without, around this one.
pub(super) fn access_token(
    bound: &Zeroizing<String>,
    before: &Zeroizing<String>,
    after: &Zeroizing<String>,
) -> Result<(), BindingError> {
    if bound == before || bound == after {
        Err(BindingError::Ignored)
    } else if before != after {
        Err(BindingError::NoSign)
    } else {
        Ok(())
    }
}

/// The SHA-256 of each certificate that the binding names; at least one.
fn certificates(binding: &Binding) -> Result<Vec<Vec<u8>>, BindingError> {
    let named = binding.query.iter().filter(|(name, _)| name == FINGERPRINT);
    let mut all = named
        .map(|(_, text)| fingerprint(text))
        .collect::<Option<Vec<_>>>()
        .ok_or(BindingError::NoCertificate)?;
    if let Some(body) = &binding.body {
        all.push(leaf_of(body).ok_or(BindingError::NoCertificate)?);
    }
    if all.is_empty() {
        return Err(BindingError::NoCertificate);
    }
    Ok(all)
}

/// In base64, with the three characters that a URL has other uses for as Google's Python library writes them: encoded once more.
fn fingerprint(text: &str) -> Option<Vec<u8>> {
    let mut plain = text.to_owned();
    for (encoded, character) in [
        ("%2B", "+"),
        ("%2b", "+"),
        ("%2F", "/"),
        ("%2f", "/"),
        ("%3D", "="),
        ("%3d", "="),
    ] {
        plain = plain.replace(encoded, character);
    }
    let sum = [STANDARD_NO_PAD, STANDARD, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(&plain).ok())?;
    (sum.len() == 32).then_some(sum)
}

/// Of the first certificate in the POST form.
fn leaf_of(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Form {
        certificate_chain: String,
    }
    let form: Form = serde_json::from_slice(body).ok()?;
    let leaf = CertificateDer::from_pem_slice(form.certificate_chain.as_bytes()).ok()?;
    Some(digest(&SHA256, &leaf).as_ref().to_vec())
}
