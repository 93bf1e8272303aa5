//! PKCS#12: `identity.p12` (key and chain) and `truststore.p12` (the roots of the identity's own trust domain).
//!
//! In: a proven identity and the store password. Out: two files that Java and OpenSSL read. The password is only what the
//! format asks for; what protects the file is its mode. Never merges trust domains.
//! Known limit: the encoder's own working copies of the key are freed without being wiped.

use super::{File, FilesError, secret};
use crate::config::StorePassword;
use aws_lc_rs::digest;
use mtls_identity::IdentitySnapshot;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use zeroize::Zeroizing;

/// The alias of the key in both store formats.
pub(super) const ALIAS: &str = "identity";

pub(super) fn files(
    identity: &IdentitySnapshot,
    password: &StorePassword,
    out: &mut Vec<File>,
) -> Result<(), FilesError> {
    let told = |file| {
        move |e| FilesError::Store {
            file,
            source: Box::new(e),
        }
    };
    let bytes = identity_store(identity, password).map_err(told("identity.p12"))?;
    out.push(secret("identity.p12", bytes));
    let bytes = trust_store(identity, password).map_err(told("truststore.p12"))?;
    out.push(File {
        name: "truststore.p12".to_owned(),
        bytes,
        secret: false,
    });
    Ok(())
}

type Encoded = Result<Zeroizing<Vec<u8>>, p12_keystore::error::Error>;

fn identity_store(identity: &IdentitySnapshot, password: &StorePassword) -> Encoded {
    let mut certificates = Vec::new();
    for der in identity.chain() {
        certificates.push(Certificate::from_der(der)?);
    }
    // Readers pair key and leaf by this id; a hash of the leaf is the same in every run.
    let leaf = identity.chain().first().map_or(&[][..], AsRef::as_ref);
    let key_id = digest::digest(&digest::SHA256, leaf);
    let key = PrivateKey::from_der(identity.private_key_pkcs8())?;
    let chain = PrivateKeyChain::new(key_id.as_ref(), key, certificates);
    let mut store = KeyStore::new();
    store.add_entry(ALIAS, KeyStoreEntry::PrivateKeyChain(chain));
    Ok(Zeroizing::new(store.writer(&password.0).write()?))
}

fn trust_store(identity: &IdentitySnapshot, password: &StorePassword) -> Encoded {
    let mut store = KeyStore::new();
    for (alias, root) in roots(identity) {
        store.add_entry(&alias, KeyStoreEntry::Certificate(Certificate::from_der(&root)?));
    }
    Ok(Zeroizing::new(store.writer(&password.0).write()?))
}

/// The roots of the identity's own trust domain, one alias a root: `example.org-1`.
pub(super) fn roots(identity: &IdentitySnapshot) -> Vec<(String, Vec<u8>)> {
    let trust_domain = identity.id().trust_domain();
    let bundle = identity.bundles().get(trust_domain);
    let roots = bundle.map(|bundle| bundle.roots()).unwrap_or_default();
    let alias = |n: usize| format!("{}-{}", trust_domain.as_str(), n + 1);
    roots
        .iter()
        .enumerate()
        .map(|(n, der)| (alias(n), der.to_vec()))
        .collect()
}
