//! Leaf certificates: X509-SVID, 2 to 4.
use super::x509::every;
use super::{Check, Document, Look, Outcome, fails, holds, must, should, skipped};
use crate::reading::cert::{Facts, Usage};
use crate::reading::id::Parts;
use crate::seen::Server;

pub(super) const CHECKS: &[Check] = &[
    must(
        "leaf.one-uri",
        Document::X509,
        "2",
        "an SVID has exactly one URI SAN",
        Look::At(|s| leaves(s, |leaf| count(leaf.uris.len()))),
    ),
    must(
        "leaf.path",
        Document::X509,
        "3.1",
        "a leaf's ID has a path beyond the root",
        Look::At(|s| leaves(s, path)),
    ),
    must(
        "leaf.san-critical",
        Document::X509,
        "3.1",
        "the URI SAN is critical if there is no subject",
        Look::At(|s| leaves(s, san_critical)),
    ),
    must(
        "leaf.not-ca",
        Document::X509,
        "4.1",
        "a leaf's `cA` is false",
        Look::At(|s| leaves(s, |leaf| holds(!leaf.is_ca, "cA false", || "cA true".to_owned()))),
    ),
    must(
        "leaf.key-usage",
        Document::X509,
        "4.3",
        "an SVID has the key usage extension",
        Look::At(|s| {
            leaves(s, |leaf| {
                holds(leaf.usage.is_some(), "there", || "no key usage".to_owned())
            })
        }),
    ),
    must(
        "leaf.key-usage-critical",
        Document::X509,
        "4.3",
        "the key usage extension is critical",
        Look::At(|s| {
            usages(s, |usage| {
                holds(usage.critical, "critical", || "not critical".to_owned())
            })
        }),
    ),
    must(
        "leaf.digital-signature",
        Document::X509,
        "4.3",
        "a leaf sets `digitalSignature`",
        Look::At(|s| {
            usages(s, |usage| {
                holds(usage.digital_signature, "set", || "not set".to_owned())
            })
        }),
    ),
    must(
        "leaf.no-cert-sign",
        Document::X509,
        "4.3",
        "a leaf does not set `keyCertSign`",
        Look::At(|s| {
            usages(s, |usage| {
                holds(!usage.key_cert_sign, "not set", || "set".to_owned())
            })
        }),
    ),
    must(
        "leaf.no-crl-sign",
        Document::X509,
        "4.3",
        "a leaf does not set `cRLSign`",
        Look::At(|s| usages(s, |usage| holds(!usage.crl_sign, "not set", || "set".to_owned()))),
    ),
    should(
        "leaf.extended-usage",
        Document::X509,
        "4.4",
        "a leaf has the extended key usage extension",
        Look::At(|s| {
            leaves(s, |leaf| {
                holds(leaf.extended.is_some(), "there", || {
                    "no extended key usage".to_owned()
                })
            })
        }),
    ),
    must(
        "leaf.server-and-client",
        Document::X509,
        "4.4",
        "extended key usage has both `id-kp-serverAuth` and `id-kp-clientAuth`",
        Look::At(|s| leaves(s, server_and_client)),
    ),
];

fn leaves(server: &Server, look: impl Fn(&Facts) -> Outcome) -> Outcome {
    every(server, |identity| look(identity.leaf()?))
}

fn usages(server: &Server, look: impl Fn(&Usage) -> Outcome) -> Outcome {
    leaves(server, |leaf| match &leaf.usage {
        Some(usage) => look(usage),
        None => skipped("no key usage"),
    })
}

fn count(uris: usize) -> Outcome {
    holds(uris == 1, "one", || format!("{uris} URI SANs"))
}

fn path(leaf: &Facts) -> Outcome {
    match leaf.id() {
        Some(id) => holds(Parts::of(id).path.len() > 1, id, || format!("{id:?}")),
        None => skipped("no URI SAN"),
    }
}

fn san_critical(leaf: &Facts) -> Outcome {
    if leaf.subject.is_empty() {
        holds(leaf.san_critical, "critical", || {
            "no subject, and not critical".to_owned()
        })
    } else {
        Ok(format!("a subject: {}", leaf.subject))
    }
}

fn server_and_client(leaf: &Facts) -> Outcome {
    match leaf.extended {
        Some((true, true)) => Ok("both".to_owned()),
        Some((server, client)) => fails(format!("server {server}, client {client}")),
        None => skipped("no extended key usage"),
    }
}
