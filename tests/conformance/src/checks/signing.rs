//! Signing certificates, in chains and bundles: X509-SVID, 3.2 and 4.
use super::x509::every;
use super::{Check, Document, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::reading::id::{Parts, is_trust_domain};
use crate::seen::{Cert, Server};

pub(super) const CHECKS: &[Check] = &[
    must(
        "signing.ca",
        Document::X509,
        "4.1",
        "a signing certificate's `cA` is true",
        Look::At(|s| {
            signing(s, |_, cert| {
                holds(cert.facts.is_ca, "cA true", || "cA is not true".to_owned())
            })
        }),
    ),
    must(
        "signing.key-usage",
        Document::X509,
        "4.3",
        "a signing certificate has the key usage extension, critical",
        Look::At(|s| signing(s, |_, cert| key_usage(cert))),
    ),
    must(
        "signing.cert-sign",
        Document::X509,
        "4.3",
        "a signing certificate sets `keyCertSign`",
        Look::At(|s| signing(s, |_, cert| cert_sign(cert))),
    ),
    should(
        "signing.svid",
        Document::X509,
        "3.2",
        "a signing certificate is an SVID itself",
        Look::At(|s| {
            signing(s, |_, cert| match cert.facts.id() {
                Some(id) => Ok(id.to_owned()),
                None => fails("no URI SAN"),
            })
        }),
    ),
    must(
        "signing.no-path",
        Document::X509,
        "3.2",
        "a signing certificate's ID has no path",
        Look::At(|s| {
            signing(s, |_, cert| match cert.facts.id() {
                // The example in the bundle standard's appendix A ends with a slash.
                Some(id) => holds(Parts::of(id).path.len() <= 1, id, || id.to_owned()),
                None => skipped("no URI SAN"),
            })
        }),
    ),
    should(
        "signing.same-domain",
        Document::X509,
        "3.2",
        "a signing certificate's ID is in the trust domain of the leaves it issues",
        Look::At(|s| {
            signing(s, |domain, cert| match cert.facts.id() {
                _ if !is_trust_domain(&format!("spiffe://{domain}")) => {
                    skipped("the leaf's trust domain has no valid name")
                }
                Some(id) => holds(Parts::of(id).trust_domain() == domain, id, || {
                    format!("{id} signs for {domain}")
                }),
                None => skipped("no URI SAN"),
            })
        }),
    ),
];

fn signing(server: &Server, look: impl Fn(&str, &Cert) -> Outcome) -> Outcome {
    every(server, |identity| {
        let domain = identity.trust_domain();
        // Where the leaf does not stand first, that is another check's.
        let certs = identity.signing()?;
        let leaf = identity
            .leaf()
            .map(|leaf| leaf.public_key.clone())
            .unwrap_or_default();
        each(
            certs.into_iter().filter(|cert| cert.facts.public_key != leaf),
            |cert| name(cert),
            |cert| look(&domain, cert),
        )
    })
}

fn name(cert: &Cert) -> String {
    match cert.facts.subject.as_str() {
        "" => "a certificate without subject".to_owned(),
        subject => subject.to_owned(),
    }
}

fn key_usage(cert: &Cert) -> Outcome {
    match cert.facts.usage {
        Some(usage) => holds(usage.critical, "critical", || "not critical".to_owned()),
        None => fails("no key usage"),
    }
}

fn cert_sign(cert: &Cert) -> Outcome {
    match cert.facts.usage {
        Some(usage) => holds(usage.key_cert_sign, "set", || "not set".to_owned()),
        None => skipped("no key usage"),
    }
}
