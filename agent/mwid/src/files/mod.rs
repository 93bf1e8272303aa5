//! The files of a generation, as they are published and given to units.
//!
//! In: a proven identity and the wanted file sets, or one name. Out: names and bytes, and a fingerprint of what they were made from.
//! Never touches a file system. PKCS#12 and JKS are only computed when asked for.

mod error;
mod jks;
mod pkcs12;
#[cfg(test)]
mod tests;

pub(crate) use error::FilesError;

use crate::config::{FileSet, StorePassword};
use aws_lc_rs::digest;
use mtls_identity::{IdentitySnapshot, TrustBundle, UnixTime};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// One file of a generation.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Holds a key: gets the key mode, owner and group.
    pub(crate) secret: bool,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What to make: settings that change the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) sets: BTreeSet<FileSet>,
    pub(crate) password: StorePassword,
}

/// Counts up when the same identity should be written differently, so that an update of mwid publishes anew.
const LAYOUT: &[u8] = b"mwid published files 1";

/// Names what a generation's files were made from. Stores carry random salts, so their bytes cannot be compared.
pub(crate) fn fingerprint(identity: &IdentitySnapshot, wanted: &Wanted) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut add = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(LAYOUT);
    for set in &wanted.sets {
        add(format!("{set:?}").as_bytes());
    }
    if wanted.sets.contains(&FileSet::Pkcs12) || wanted.sets.contains(&FileSet::Jks) {
        add(wanted.password.0.as_bytes());
    }
    for certificate in identity.chain() {
        add(certificate);
    }
    add(identity.private_key_pkcs8());
    add(identity.bundles().to_map_json().as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// All files of a generation.
pub(crate) fn render(
    identity: &IdentitySnapshot,
    wanted: &Wanted,
    now: UnixTime,
) -> Result<Vec<File>, FilesError> {
    let mut files = Vec::new();
    for set in &wanted.sets {
        match set {
            FileSet::Gce => gce(identity, &mut files),
            FileSet::CredentialBundle => credential_bundle(identity, &mut files),
            FileSet::Haproxy => {
                let (chain, key) = (identity.chain_pem(), identity.private_key_pem());
                files.push(secret("haproxy.pem", joined([&chain, &key])));
            }
            FileSet::Pkcs12 => pkcs12::files(identity, &wanted.password, &mut files)?,
            FileSet::Jks => jks::files(identity, &wanted.password, now, &mut files)?,
            FileSet::SpiffeBundle => {
                for bundle in identity.bundles().iter() {
                    if let Some(name) = domain_file(bundle, "bundle.json") {
                        files.push(public(name, bundle.to_spiffe_json()));
                    }
                }
            }
        }
    }
    Ok(files)
}

/// The set that has a file of this name; none: no set has one.
pub(crate) fn set_of(name: &str) -> Option<FileSet> {
    Some(match name {
        "certificates.pem" | "private_key.pem" | "ca_certificates.pem" | "trust_bundles.json" => FileSet::Gce,
        "credential-bundle.private-key.x509.pem" => FileSet::CredentialBundle,
        "haproxy.pem" => FileSet::Haproxy,
        "identity.p12" | "truststore.p12" => FileSet::Pkcs12,
        "identity.jks" | "truststore.jks" => FileSet::Jks,
        _ if name.ends_with(".spiffe-trust-bundle.x509.pem") => FileSet::CredentialBundle,
        _ if name.ends_with(".bundle.json") => FileSet::SpiffeBundle,
        _ => return None,
    })
}

/// One file of a generation, by its published name; none: this generation has none of that name. Stores have the usual password.
pub(crate) fn named(
    identity: &IdentitySnapshot,
    name: &str,
    now: UnixTime,
) -> Result<Option<File>, FilesError> {
    let wanted = Wanted {
        sets: set_of(name).into_iter().collect(),
        password: StorePassword::default(),
    };
    let files = render(identity, &wanted, now)?;
    Ok(files.into_iter().find(|file| file.name == name))
}

/// The names of Google's guest agent.
fn gce(identity: &IdentitySnapshot, files: &mut Vec<File>) {
    files.push(public("certificates.pem", identity.chain_pem()));
    files.push(secret("private_key.pem", joined([&identity.private_key_pem()])));
    // A proven identity has its own domain's bundle: its chain was checked against it.
    if let Some(own) = identity.bundles().get(identity.id().trust_domain()) {
        files.push(public("ca_certificates.pem", own.to_pem()));
    }
    files.push(public("trust_bundles.json", identity.bundles().to_map_json()));
}

/// The names of Kubernetes pod certificates as Google's libraries read them: one open gives a whole pair.
fn credential_bundle(identity: &IdentitySnapshot, files: &mut Vec<File>) {
    let key = identity.private_key_pem();
    let chain = identity.chain_pem();
    files.push(secret(
        "credential-bundle.private-key.x509.pem",
        joined([&key, &chain]),
    ));
    for bundle in identity.bundles().iter() {
        if let Some(name) = domain_file(bundle, "spiffe-trust-bundle.x509.pem") {
            files.push(public(name, bundle.to_pem()));
        }
    }
}

/// The longest name that Linux file systems take.
const LONGEST_NAME: usize = 255;

/// `TRUST_DOMAIN.suffix`, the bare domain; none, and a word in the log, where no file can have that name: one long name must
/// not keep everything else from being published.
fn domain_file(bundle: &TrustBundle, suffix: &str) -> Option<String> {
    let trust_domain = bundle.trust_domain();
    let name = format!("{}.{suffix}", trust_domain.as_str());
    if name.len() > LONGEST_NAME {
        tracing::warn!(
            trust_domain = trust_domain.as_str(),
            "this trust domain's bundle gets no file of its own, for the name `TRUST_DOMAIN.{suffix}` would be {} bytes long and {} are \
             allowed; take it from trust_bundles.json (file set gce)",
            name.len(),
            LONGEST_NAME
        );
        return None;
    }
    Some(name)
}

fn public(name: impl Into<String>, text: String) -> File {
    File {
        name: name.into(),
        bytes: Zeroizing::new(text.into_bytes()),
        secret: false,
    }
}

fn secret(name: &str, bytes: Zeroizing<Vec<u8>>) -> File {
    File {
        name: name.to_owned(),
        bytes,
        secret: true,
    }
}

/// Several PEM texts as one file, each ending its line, without a growing buffer that leaves copies behind.
fn joined<const N: usize>(parts: [&str; N]) -> Zeroizing<Vec<u8>> {
    let size: usize = parts.iter().map(|part| part.len() + 1).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    for part in parts {
        out.extend_from_slice(part.as_bytes());
        if !part.ends_with('\n') {
            out.push(b'\n');
        }
    }
    out
}
