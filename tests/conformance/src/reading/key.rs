//! Private keys: PKCS#8 in DER, unencrypted, and whose they are.
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use x509_parser::der_parser::ber::BerObjectContent;
use x509_parser::der_parser::parse_der;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

/// Whether the bytes have the outer shape of an unencrypted PKCS#8 key and nothing after it.
pub fn is_pkcs8(der: &[u8]) -> Result<(), String> {
    if der.starts_with(b"-----BEGIN") {
        return Err("PEM, not DER".to_owned());
    }
    let (rest, object) = parse_der(der).map_err(|why| format!("no DER ({why})"))?;
    if !rest.is_empty() {
        return Err(format!("{} bytes after the key", rest.len()));
    }
    let BerObjectContent::Sequence(parts) = &object.content else {
        return Err("no sequence".to_owned());
    };
    // RFC 5208: version, algorithm, key. An encrypted key begins with its algorithm; SEC1 has an octet string second, PKCS#1 a number.
    match parts.iter().map(|part| &part.content).collect::<Vec<_>>()[..] {
        [
            BerObjectContent::Integer(_),
            BerObjectContent::Sequence(_),
            BerObjectContent::OctetString(_),
            ..,
        ] => Ok(()),
        [BerObjectContent::Sequence(_), BerObjectContent::OctetString(_)] => {
            Err("an encrypted PKCS#8 key".to_owned())
        }
        _ => Err("not PKCS#8 (RFC 5208)".to_owned()),
    }
}

/// The public key of a private key as a `SubjectPublicKeyInfo`'s bit string holds it; `None` for a kind that is not known here.
fn public_key(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let ecdsa: [&'static EcdsaSigningAlgorithm; 3] = [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ];
    for algorithm in ecdsa {
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8) {
            return Some(key.public_key().as_ref().to_vec());
        }
    }
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
        return Some(key.public_key().as_ref().to_vec());
    }
    let key = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
    let info = key.public_key().as_der().ok()?;
    bits(info.as_ref())
}

fn bits(info: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = SubjectPublicKeyInfo::from_der(info).ok()?;
    Some(info.subject_public_key.data.to_vec())
}

/// Whether the private key belongs to the public key of a certificate (`SubjectPublicKeyInfo`, DER).
pub fn matches(pkcs8: &[u8], certified: &[u8]) -> Result<(), String> {
    let ours =
        public_key(pkcs8).ok_or("the private key is none of RSA, ECDSA P-256, P-384, P-521, Ed25519")?;
    match bits(certified) {
        Some(theirs) if theirs == ours => Ok(()),
        Some(_) => Err("the private key is not that of the leaf certificate".to_owned()),
        None => Err("the certificate's public key cannot be read".to_owned()),
    }
}

/// The DER of the private key in a PEM text.
pub fn from_pem(pem: &[u8]) -> Result<Vec<u8>, String> {
    use pki_types::pem::PemObject;
    pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem)
        .map(|key| key.secret_pkcs8_der().to_vec())
        .map_err(|why| format!("no PKCS#8 key in PEM ({why})"))
}
