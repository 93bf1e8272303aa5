//! What makes a certificate the leaf of a workload (X509-SVID sections 2 to 5). The same for our own and for a peer's.
//!
//! In: one certificate. Out: its SPIFFE ID. Never looks at who signed it: the chain's check does.

use super::{CertificateError, CertificateRole, Refusal};
use crate::certificate::{self, shorten};
use crate::spiffe_id::SpiffeId;
use pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The context-specific tag of a URI in a subject alternative name (RFC 5280 section 4.2.1.6).
const URI_TAG: u32 = 6;
/// Why more than one URI is refused is said with this many of them.
const SHOWN_URIS: usize = 4;

/// The SPIFFE ID of a leaf in DER that passes all leaf checks.
pub(crate) fn spiffe_id_of_der(leaf: &CertificateDer<'_>) -> Result<SpiffeId, Refusal> {
    let parsed = certificate::parse(leaf).map_err(|source| Refusal::Certificate { position: 1, source })?;
    spiffe_id(&parsed)
}

/// The SPIFFE ID of a leaf that passes all leaf checks.
pub(crate) fn spiffe_id(leaf: &X509Certificate<'_>) -> Result<SpiffeId, Refusal> {
    let id = read_id(leaf)?;
    is_no_ca(leaf)?;
    may_authenticate(leaf)?;
    Ok(id)
}

fn read_id(leaf: &X509Certificate<'_>) -> Result<SpiffeId, Refusal> {
    let names = leaf
        .subject_alternative_name()
        .map_err(|_| malformed(leaf, "subjectAltName"))?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // A URI that is no text is still a URI: it must not slip through the count.
            GeneralName::Invalid(tag, _) if tag.0 == URI_TAG => {
                return Err(malformed(leaf, "subjectAltName"));
            }
            _ => {}
        }
    }
    let uri = match uris[..] {
        [] => return Err(Refusal::NoUriSan),
        [uri] => uri,
        _ => {
            let found = uris.iter().take(SHOWN_URIS).map(|uri| shorten(uri)).collect();
            return Err(Refusal::ManyUriSans {
                count: uris.len(),
                found,
            });
        }
    };
    let id = SpiffeId::parse(uri).map_err(|source| Refusal::NotSpiffeId {
        found: shorten(uri),
        source,
    })?;
    if id.path().is_empty() {
        return Err(Refusal::IdWithoutPath { found: id });
    }
    Ok(id)
}

fn is_no_ca(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    if super::is_ca(leaf, CertificateRole::Leaf)? {
        return Err(Refusal::LeafIsCa {
            certificate: certificate::name(leaf, CertificateRole::Leaf),
        });
    }
    Ok(())
}

/// X509-SVID sections 4.3 and 4.4.
fn may_authenticate(leaf: &X509Certificate<'_>) -> Result<(), Refusal> {
    let usage = leaf.key_usage().map_err(|_| malformed(leaf, "keyUsage"))?;
    let usage = usage.ok_or(Refusal::KeyUsageMissing)?.value;
    if usage.key_cert_sign() {
        return Err(Refusal::LeafSigns { found: "keyCertSign" });
    }
    if usage.crl_sign() {
        return Err(Refusal::LeafSigns { found: "cRLSign" });
    }
    if !usage.digital_signature() {
        return Err(Refusal::DigitalSignatureMissing);
    }
    let purposes = leaf
        .extended_key_usage()
        .map_err(|_| malformed(leaf, "extendedKeyUsage"))?;
    match purposes.map(|purposes| (purposes.value.server_auth, purposes.value.client_auth)) {
        None | Some((true, true)) => Ok(()),
        Some((true, false)) => Err(Refusal::ExtendedKeyUsage {
            missing: "clientAuth",
        }),
        Some((false, true)) => Err(Refusal::ExtendedKeyUsage {
            missing: "serverAuth",
        }),
        Some((false, false)) => Err(Refusal::ExtendedKeyUsage {
            missing: "serverAuth and clientAuth",
        }),
    }
}

fn malformed(leaf: &X509Certificate<'_>, extension: &'static str) -> Refusal {
    Refusal::Extension {
        certificate: certificate::name(leaf, CertificateRole::Leaf),
        source: CertificateError::Extension { extension },
    }
}
