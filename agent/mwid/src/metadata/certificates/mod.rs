//! The VM's identity as the metadata server has it: three documents, read in the order in which Google's guest agent reads them.
//!
//! In: a client. Out: a candidate with the trust bundles of all trust domains, and what the platform says beside it. Never
//! decides whether the candidate is good, never puts a part of a body into an error.

mod documents;
mod error;
#[cfg(test)]
mod tests;

pub(crate) use error::{CertificatesError, Document};

use super::{Client, MetadataError};
use documents::{Anchors, Entries};
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::dir::ConfigStatus;
use mtls_identity::{Candidate, TrustBundle, TrustBundles, TrustDomain};
use zeroize::Zeroizing;

const DIRECTORY: &str = "instance/gce-workload-certificates/";

/// What one round of questions found.
pub(crate) struct Reading {
    pub(crate) candidate: Candidate,
    /// What the platform reports about the VM's configuration, if that is trouble.
    pub(crate) trouble: Option<ConfigStatus>,
}

/// Reads all three documents.
pub(crate) async fn read(client: &Client) -> Result<Reading, MetadataError> {
    let ask = async |document: Document| client.read(&format!("{DIRECTORY}{}", document.name())).await;
    let status = ConfigStatus::parse(&ask(Document::ConfigStatus).await?);
    let identities = ask(Document::WorkloadIdentities).await?;
    let anchors = ask(Document::TrustAnchors).await?;
    let trouble = (!status.is_healthy()).then_some(status);
    candidate(&identities, &anchors, trouble.as_ref())
        .map(|candidate| Reading { candidate, trouble })
        .map_err(|source| MetadataError::Certificates {
            server: client.server(),
            source,
        })
}

fn candidate(
    identities: &[u8],
    anchors: &[u8],
    trouble: Option<&ConfigStatus>,
) -> Result<Candidate, CertificatesError> {
    let credentials = documents::identities(identities)?.0;
    let ids: Vec<String> = credentials.iter().map(|(id, _)| shown(id)).collect();
    // The platform promises one entry.
    let Ok([(id, credential)]) = <[_; 1]>::try_from(credentials) else {
        return Err(match (ids.is_empty(), trouble) {
            (true, Some(status)) => CertificatesError::NotIssued {
                status: status.clone(),
            },
            (true, None) => CertificatesError::NoCredentials,
            (false, _) => CertificatesError::SeveralCredentials { ids },
        });
    };
    if credential.private_key_pem.trim().is_empty() {
        return Err(CertificatesError::KeyWithheld { id: shown(&id) });
    }
    Ok(Candidate {
        certificates_pem: credential.certificate_pem.into_bytes().into(),
        private_key_pem: Zeroizing::new(credential.private_key_pem.as_bytes().to_vec()),
        bundles: CandidateBundles::Parsed(bundles(documents::anchors(anchors)?)?),
    })
}

/// The bundle of each domain by its exact name; one without roots trusts nobody.
fn bundles(anchors: Entries<Anchors>) -> Result<TrustBundles, CertificatesError> {
    let mut all = TrustBundles::default();
    for (name, anchors) in anchors.0 {
        let trust_domain = TrustDomain::parse(&name).map_err(|source| CertificatesError::TrustDomain {
            found: shown(&name),
            source,
        })?;
        let bundle = if anchors.trust_anchors_pem.trim().is_empty() {
            TrustBundle::from_roots(trust_domain.clone(), vec![])
        } else {
            TrustBundle::from_pem(trust_domain.clone(), anchors.trust_anchors_pem.as_bytes())
        };
        bundle
            .and_then(|bundle| all.insert(bundle))
            .map_err(|source| CertificatesError::Bundle { trust_domain, source })?;
    }
    Ok(all)
}

/// What others wrote, for a line of ours.
fn shown(text: &str) -> String {
    const MOST: usize = 300;
    text.chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
