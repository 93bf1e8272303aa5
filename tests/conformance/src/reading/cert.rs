//! Certificates: what is in them, and whether a chain of them holds (X509-SVID; RFC 5280).
use pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyPurposeIdIter};
use x509_parser::prelude::*;

/// Splits concatenated DER. `Err`: what is wrong with the bytes.
pub fn split(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut rest = bytes;
    let mut certificates = vec![];
    while !rest.is_empty() {
        let (after, _) = X509Certificate::from_der(rest).map_err(|why| {
            let kind = if rest.starts_with(b"-----BEGIN") {
                "PEM, not DER"
            } else {
                "no certificate"
            };
            format!(
                "{kind} at byte {} of {} ({why})",
                bytes.len() - rest.len(),
                bytes.len()
            )
        })?;
        certificates.push(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    Ok(certificates)
}

/// What the checks want to know of one certificate.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its subject in words; empty if it has none.
    pub subject: String,
    /// URI SANs in order.
    pub uris: Vec<String>,
    /// Whether the SAN extension is critical.
    pub san_critical: bool,
    /// Whether it has a basic constraints extension with `cA` true.
    pub is_ca: bool,
    /// Key usage, if there is the extension.
    pub usage: Option<Usage>,
    /// Extended key usage, if there is the extension: server, client.
    pub extended: Option<(bool, bool)>,
    /// Whether issuer and subject are one.
    pub self_issued: bool,
    /// The public key, DER.
    pub public_key: Vec<u8>,
}

/// The key usage extension.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Whether it is critical.
    pub critical: bool,
    /// `digitalSignature`.
    pub digital_signature: bool,
    /// `keyCertSign`.
    pub key_cert_sign: bool,
    /// `cRLSign`.
    pub crl_sign: bool,
}

impl Facts {
    /// Of one certificate.
    pub fn of(der: &[u8]) -> Result<Self, String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|why| format!("no certificate ({why})"))?;
        let mut facts = Self {
            subject: cert.subject().to_string(),
            self_issued: cert.subject() == cert.issuer(),
            public_key: cert.public_key().raw.to_vec(),
            ..Self::default()
        };
        for extension in cert.extensions() {
            facts.extension(extension)?;
        }
        Ok(facts)
    }

    fn extension(&mut self, extension: &X509Extension<'_>) -> Result<(), String> {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.san_critical = extension.critical;
                self.uris
                    .extend(names.general_names.iter().filter_map(|name| match name {
                        GeneralName::URI(uri) => Some((*uri).to_owned()),
                        _ => None,
                    }));
            }
            ParsedExtension::BasicConstraints(basic) => self.is_ca = basic.ca,
            ParsedExtension::KeyUsage(usage) => {
                self.usage = Some(Usage {
                    critical: extension.critical,
                    digital_signature: usage.digital_signature(),
                    key_cert_sign: usage.key_cert_sign(),
                    crl_sign: usage.crl_sign(),
                });
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.extended = Some((usage.server_auth, usage.client_auth));
            }
            ParsedExtension::ParseError { error } => {
                return Err(format!(
                    "the extension {} cannot be read ({error})",
                    extension.oid
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// Its SPIFFE ID: the first URI SAN.
    pub fn id(&self) -> Option<&str> {
        self.uris.first().map(String::as_str)
    }
}

/// Any purpose: extended key usage is another check's.
struct AnyPurpose;

impl webpki::ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}

/// Verifies a chain, the leaf first, to one of the roots.
pub fn verify(chain: &[&[u8]], roots: &[&[u8]], now: Duration) -> Result<(), String> {
    let ders = |all: &[&[u8]]| -> Vec<CertificateDer<'static>> {
        all.iter().map(|der| CertificateDer::from(der.to_vec())).collect()
    };
    let (chain, roots) = (ders(chain), ders(roots));
    let anchors: Vec<_> = roots
        .iter()
        .filter_map(|root| webpki::anchor_from_trusted_cert(root).ok())
        .collect();
    let leaf = chain.first().ok_or("there is no leaf")?;
    let told = |why: webpki::Error| format!("the chain does not verify: {why}");
    EndEntityCert::try_from(leaf)
        .map_err(told)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &chain[1..],
            UnixTime::since_unix_epoch(now),
            AnyPurpose,
            None,
            None,
        )
        .map(drop)
        .map_err(told)
}

/// Whether these bytes are one certificate revocation list.
pub fn is_crl(der: &[u8]) -> Result<(), String> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], _)) => Ok(()),
        Ok((rest, _)) => Err(format!("{} bytes after the list", rest.len())),
        Err(why) => Err(format!("no certificate revocation list ({why})")),
    }
}

/// The DER of each certificate in a PEM text.
pub fn from_pem(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    use pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| format!("no PEM ({why})"))
}
