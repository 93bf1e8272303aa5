//! One consistent file set of a directory. In: a path. Out: a candidate, or a fault that names the file and what to do.
//! Never mixes two generations: the directory is opened once, all files are opened relative to it, and afterwards the path must
//! still lead to it.
mod config_status;
mod error;
mod handle;

pub use config_status::ConfigStatus;
pub use error::ReadError;

use crate::bundle::{TrustBundle, TrustBundles};
use crate::candidate::{Candidate, CandidateBundles};
use crate::spiffe_id::TrustDomain;
use handle::Handle;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const CERTIFICATES: &str = "certificates.pem";
const PRIVATE_KEY: &str = "private_key.pem";
const CA_CERTIFICATES: &str = "ca_certificates.pem";
const TRUST_BUNDLES: &str = "trust_bundles.json";
const CONFIG_STATUS: &str = "config_status";
const CREDENTIAL_BUNDLE: &str = "credential-bundle.private-key.x509.pem";
const TRUST_BUNDLE_SUFFIX: &str = ".spiffe-trust-bundle.x509.pem";

/// A chain of ten RSA-4096 certificates is a tenth of this.
const MOST_CERTIFICATES: u64 = 256 * 1024;
/// An RSA-8192 key is a tenth of this.
const MOST_KEY: u64 = 64 * 1024;
/// Bundles of many federated trust domains.
const MOST_BUNDLES: u64 = 4 * 1024 * 1024;
const MOST_STATUS: u64 = 64 * 1024;

/// How often a directory that is replaced during the read is read again at once.
const TRIES: u32 = 5;

/// Which file set was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// The files of Google's guest agents.
    Gce,
    /// The one-file credential bundle of SPIFFE Filesystem Delivery.
    CredentialBundle,
}

/// What was read from a directory. Debug shows no contents.
#[non_exhaustive]
pub struct Reading {
    /// The identity, not yet proven.
    pub candidate: Candidate,
    /// The directory that the path led to.
    pub directory: PathBuf,
    /// Which file set was found.
    pub form: Form,
    /// What the platform reports beside the files, if it does. An unhealthy status does not make the candidate bad, but is a
    /// reason to look: the next rotation may not come.
    pub config_status: Option<ConfigStatus>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("directory", &self.directory)
            .field("form", &self.form)
            .field("config_status", &self.config_status)
            .finish_non_exhaustive()
    }
}

/// Reads one consistent file set from a directory, or from what a link to a directory points at. Blocks.
///
/// # Errors
///
/// Every [`ReadError`] names the file or directory and says what to do. A directory that is replaced meanwhile is read again
/// at once, a few times.
///
/// ```
/// use mtls_identity::dir;
///
/// let error = dir::read("/nonexistent/workload-spiffe-credentials").err();
/// assert!(matches!(error, Some(dir::ReadError::DirectoryMissing { .. })));
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Candidate, ReadError> {
    read_set(path).map(|reading| reading.candidate)
}

/// As [`read`], with where the files were found and what the platform reports beside them.
///
/// # Errors
///
/// As [`read`].
pub fn read_set(path: impl AsRef<Path>) -> Result<Reading, ReadError> {
    let path = path.as_ref();
    let mut last = None;
    for _ in 0..TRIES {
        match Handle::open(path) {
            Ok(mut handle) => {
                let read = read_handle(&mut handle);
                if handle.is_unchanged() {
                    return read;
                }
                // Whatever was read, or was missing, may be a mixture: look again.
                last = None;
            }
            // Or the link was switched, and its old target deleted, while the kernel followed it.
            Err(e @ (ReadError::DanglingLink { .. } | ReadError::ChangedWhileReading { .. })) => {
                last = Some(e);
            }
            Err(e) => return Err(e),
        }
        std::thread::yield_now();
    }
    Err(last.unwrap_or_else(|| ReadError::ChangedWhileReading {
        path: path.to_owned(),
        tries: TRIES,
    }))
}

fn read_handle(handle: &mut Handle) -> Result<Reading, ReadError> {
    // A status that cannot be read says nothing; the files decide.
    let config_status = match handle.file(CONFIG_STATUS, MOST_STATUS) {
        Ok(Some(bytes)) => Some(ConfigStatus::parse(&bytes)),
        Ok(None) | Err(_) => None,
    };
    let read = match handle.file(CERTIFICATES, MOST_CERTIFICATES) {
        Ok(Some(certificates)) => gce(handle, certificates).map(|c| (c, Form::Gce)),
        Ok(None) => credential_bundle(handle).map(|c| (c, Form::CredentialBundle)),
        Err(e) => Err(e),
    };
    match (read, config_status) {
        (Ok((candidate, form)), config_status) => Ok(Reading {
            candidate,
            directory: handle.resolved(),
            form,
            config_status,
        }),
        (Err(cause), Some(status)) if !status.is_healthy() => Err(ReadError::NotIssued {
            path: handle.path().to_owned(),
            status,
            cause: Box::new(cause),
        }),
        (Err(e), _) => Err(e),
    }
}

fn gce(handle: &mut Handle, certificates: Zeroizing<Vec<u8>>) -> Result<Candidate, ReadError> {
    let private_key_pem = needed(handle, PRIVATE_KEY, None, MOST_KEY)?;
    let bundles = match handle.file(TRUST_BUNDLES, MOST_BUNDLES)? {
        Some(mut json) => CandidateBundles::MapJson(std::mem::take(&mut *json)),
        None => {
            let mut pem = match handle.file(CA_CERTIFICATES, MOST_BUNDLES)? {
                Some(pem) => pem,
                None => return Err(missing(handle, TRUST_BUNDLES, Some(CA_CERTIFICATES))),
            };
            CandidateBundles::OwnPem(std::mem::take(&mut *pem))
        }
    };
    Ok(Candidate {
        certificates_pem: certificates,
        private_key_pem,
        bundles,
    })
}

fn credential_bundle(handle: &mut Handle) -> Result<Candidate, ReadError> {
    let Some(whole) = handle.file(CREDENTIAL_BUNDLE, MOST_CERTIFICATES)? else {
        return Err(missing(handle, CERTIFICATES, Some(CREDENTIAL_BUNDLE)));
    };
    let names = handle.names_ending_in(TRUST_BUNDLE_SUFFIX)?;
    if names.is_empty() {
        let path = handle.path().join(format!("TRUST_DOMAIN{TRUST_BUNDLE_SUFFIX}"));
        return Err(ReadError::FileMissing { path, or: None });
    }
    let mut bundles = TrustBundles::default();
    for name in names {
        let path = handle.path().join(&name);
        let domain = name.strip_suffix(TRUST_BUNDLE_SUFFIX).unwrap_or_default();
        let domain = TrustDomain::parse(domain).map_err(|source| ReadError::BundleName {
            path: path.clone(),
            source,
        })?;
        let pem = needed(handle, &name, None, MOST_BUNDLES)?;
        TrustBundle::from_pem(domain, &pem)
            .and_then(|bundle| bundles.insert(bundle))
            .map_err(|source| ReadError::Bundle { path, source })?;
    }
    Ok(Candidate {
        // One file for both: the prover takes the blocks of each kind, and refuses a second key.
        certificates_pem: whole.clone(),
        private_key_pem: whole,
        bundles: CandidateBundles::Parsed(bundles),
    })
}

fn needed(
    handle: &mut Handle,
    name: &str,
    or: Option<&'static str>,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    match handle.file(name, limit)? {
        Some(bytes) => Ok(bytes),
        None => Err(missing(handle, name, or)),
    }
}

fn missing(handle: &Handle, name: &str, or: Option<&'static str>) -> ReadError {
    ReadError::FileMissing {
        path: handle.path().join(name),
        or,
    }
}

#[cfg(test)]
mod tests;
