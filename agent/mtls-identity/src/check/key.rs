//! Whether the private key is one we support and belongs to the leaf.
//!
//! In: the key's PEM, the leaf. Out: PKCS#8 and rustls' signing key. Never puts a key byte into an error; every copy made
//! here is wiped.

use super::Refusal;
use crate::der;
use crate::pem;
use crate::spki::PublicKey;
use pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

/// An RSA key of 16384 bits takes 13 KiB, but a combined file holds the chain too.
const MAX_KEY_PEM: usize = super::MAX_CERTIFICATES_PEM;
const MIN_RSA_BITS: usize = 2048;

const PKCS8: &str = "PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Proves that the key belongs to the leaf, the first of `chain`.
pub(super) fn prove(
    provider: &CryptoProvider,
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'static>],
    pem: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, Arc<CertifiedKey>), Refusal> {
    supported(leaf)?;
    let block = read(pem)?;
    let delivered = match block.label.as_str() {
        PKCS8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(block.der.to_vec())),
        SEC1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(block.der.to_vec())),
        _ => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(block.der.to_vec())),
    };
    // Matched as delivered, so that an EC key for an RSA leaf is a mismatch and not a strange wrapping.
    matches(provider, chain, delivered)?;
    let pkcs8 = to_pkcs8(&block, leaf)?;
    let normal = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    Ok((pkcs8, Arc::new(matches(provider, chain, normal)?)))
}

/// The key's kind is read from the leaf: its key is the same or the pair is refused anyway.
fn supported(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    let key = PublicKey::of(leaf.public_key());
    match &key {
        Some(
            PublicKey::Ec {
                curve: "P-256" | "P-384",
                ..
            }
            | PublicKey::Ed25519(_),
        ) => Ok(()),
        Some(PublicKey::Ec { curve, .. }) => Err(Refusal::KeyCurve { found: curve }),
        Some(PublicKey::Rsa { .. }) => match key.as_ref().and_then(PublicKey::rsa_bits) {
            Some(bits) if bits >= MIN_RSA_BITS => Ok(()),
            bits => Err(Refusal::KeyTooShort {
                bits: bits.unwrap_or(0),
                wanted: MIN_RSA_BITS,
            }),
        },
        None => Err(Refusal::KeyAlgorithm {
            found: leaf.public_key().algorithm.algorithm.to_id_string(),
        }),
    }
}

/// The one private key of a file. Other blocks (EC parameters, certificates) are skipped.
fn read(pem: &[u8]) -> Result<pem::Block, Refusal> {
    if pem.trim_ascii().is_empty() {
        return Err(Refusal::KeyEmpty);
    }
    if pem.len() > MAX_KEY_PEM {
        return Err(Refusal::KeyTooLarge {
            found: pem.len(),
            limit: MAX_KEY_PEM,
        });
    }
    let mut blocks = pem::blocks(pem, |label| label.ends_with(PKCS8)).map_err(Refusal::KeyPem)?;
    if blocks.len() > 1 {
        return Err(Refusal::ManyKeys { found: blocks.len() });
    }
    let block = blocks.pop().ok_or(Refusal::NoKey)?;
    match block.label.as_str() {
        ENCRYPTED => Err(Refusal::KeyEncrypted { line: block.line }),
        _ if block.encrypted => Err(Refusal::KeyEncrypted { line: block.line }),
        PKCS8 | SEC1 | PKCS1 => Ok(block),
        _ => Err(Refusal::KeyLabel { found: block.label }),
    }
}

/// A provider that cannot tell is a refusal: "perhaps" is what a torn rotation looks like.
fn matches(
    provider: &CryptoProvider,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Refusal> {
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(Refusal::KeyUnusable)?;
    let certified = CertifiedKey::new(chain.to_vec(), key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Refusal::KeyMismatch),
        Err(cause) => Err(Refusal::KeyNotComparable(cause)),
    }
}

/// PKCS#8 version 1, which every reader knows. SEC1 and PKCS#1 say not (all of) their algorithm: the leaf does.
fn to_pkcs8(block: &pem::Block, leaf: &X509Certificate<'_>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let wrapped = if block.label == PKCS8 {
        der::read_pkcs8(&block.der).and_then(|(algorithm, key)| der::pkcs8(algorithm, key))
    } else {
        der::spki_algorithm(leaf.public_key().raw).and_then(|algorithm| der::pkcs8(algorithm, &block.der))
    };
    wrapped.ok_or(Refusal::KeyMalformed)
}
