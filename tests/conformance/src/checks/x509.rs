//! The fields of `X509SVIDResponse`: Workload API, 5 and 8, with the comments of workloadapi.proto.
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::reading::{cert, id, key};
use crate::seen::{Identity, Server, certificates};
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "x509.svids",
        Document::WorkloadApi,
        "5.2.1",
        "`svids` has one or more entries",
        Look::At(svids),
    ),
    must(
        "x509.spiffe-id",
        Document::WorkloadApi,
        "5.2.1",
        "`spiffe_id` is mandatory",
        Look::At(|s| every(s, |i| present(i.message.spiffe_id.as_bytes()))),
    ),
    must(
        "x509.chain",
        Document::WorkloadApi,
        "5.2.1",
        "`x509_svid` is mandatory",
        Look::At(|s| every(s, |i| present(&i.message.x509_svid))),
    ),
    must(
        "x509.key",
        Document::WorkloadApi,
        "5.2.1",
        "`x509_svid_key` is mandatory",
        Look::At(|s| every(s, |i| present(&i.message.x509_svid_key))),
    ),
    must(
        "x509.bundle",
        Document::WorkloadApi,
        "5.2.1",
        "`bundle` is mandatory",
        Look::At(|s| every(s, |i| present(&i.message.bundle))),
    ),
    must(
        "x509.id-of-leaf",
        Document::WorkloadApi,
        "5.1, X509SVID",
        "`spiffe_id` is that of the SVID in the entry",
        Look::At(|s| every(s, id_of_leaf)),
    ),
    must(
        "x509.chain-der",
        Document::WorkloadApi,
        "5.1, X509SVID",
        "`x509_svid` is certificates in ASN.1 DER and nothing else",
        Look::At(|s| every(s, |i| der(i.chain_as_read().map(<[_]>::len)))),
    ),
    must(
        "x509.leaf-first",
        Document::WorkloadApi,
        "5.1, X509SVID",
        "the leaf certificate comes first",
        Look::At(|s| every(s, leaf_first)),
    ),
    must(
        "x509.key-pkcs8",
        Document::WorkloadApi,
        "5.1, X509SVID",
        "`x509_svid_key` is PKCS#8 in ASN.1 DER, not encrypted",
        Look::At(|s| every(s, key_pkcs8)),
    ),
    must(
        "x509.key-of-leaf",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "the private key is that of the X.509-SVID",
        Look::At(|s| every(s, key_of_leaf)),
    ),
    must(
        "x509.bundle-der",
        Document::WorkloadApi,
        "5.1, X509SVID",
        "`bundle` is certificates in ASN.1 DER and nothing else",
        Look::At(|s| every(s, |i| der(i.bundle_as_read().map(<[_]>::len)))),
    ),
    must(
        "x509.hint-unique",
        Document::WorkloadApi,
        "5.2.1",
        "a hint is unique in its response",
        Look::At(hint_unique),
    ),
    should(
        "x509.hint-length",
        Document::WorkloadApi,
        "8",
        "a hint has 1024 bytes at most",
        Look::At(|s| {
            every(s, |i| {
                let length = i.message.hint.len();
                holds(length <= 1024, format!("{length} bytes"), || {
                    format!("{length} bytes")
                })
            })
        }),
    ),
    must(
        "x509.crl",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "an entry of `crl` is a revocation list in ASN.1 DER",
        Look::At(|s| crls(&s.x509.get()?.crl)),
    ),
    must(
        "x509.federated-keys",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "`federated_bundles` is keyed by the SPIFFE IDs of trust domains",
        Look::At(federated_keys),
    ),
    must(
        "x509.federated-foreign",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "`federated_bundles` is of foreign trust domains",
        Look::At(federated_foreign),
    ),
    must(
        "x509.federated-der",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "a federated bundle is certificates in ASN.1 DER and nothing else",
        Look::At(federated_der),
    ),
];

/// Looks at each identity that was served.
pub(super) fn every(server: &Server, look: impl Fn(&Identity) -> Outcome) -> Outcome {
    server.x509.get()?;
    each(&server.identities, |i| i.name(), |i| look(i))
}

fn present(field: &[u8]) -> Outcome {
    holds(!field.is_empty(), format!("{} bytes", field.len()), || {
        "empty".to_owned()
    })
}

/// `Ok` has how many certificates there are.
pub(super) fn der(read: Result<usize, &str>) -> Outcome {
    match read {
        Ok(0) => skipped("empty"),
        Ok(1) => Ok("1 certificate".to_owned()),
        Ok(many) => Ok(format!("{many} certificates")),
        Err(why) => fails(why),
    }
}

fn svids(server: &Server) -> Outcome {
    let count = server.x509.get()?.svids.len();
    holds(count > 0, format!("{count}"), || "none".to_owned())
}

fn id_of_leaf(identity: &Identity) -> Outcome {
    let leaf = identity.leaf()?;
    let field = &identity.message.spiffe_id;
    if field.is_empty() {
        return skipped("`spiffe_id` is empty");
    }
    holds(leaf.uris.contains(field), field, || {
        format!("the leaf is of {:?}", leaf.uris)
    })
}

fn leaf_first(identity: &Identity) -> Outcome {
    match identity.chain()? {
        [first, .., last] if first.facts.is_ca && !last.facts.is_ca => fails("a CA certificate stands first"),
        [first, rest @ ..] if first.facts.is_ca && rest.iter().any(|cert| !cert.facts.is_ca) => {
            fails("a CA certificate stands first")
        }
        chain => Ok(format!("{} certificates", chain.len())),
    }
}

fn key_pkcs8(identity: &Identity) -> Outcome {
    let key = &identity.message.x509_svid_key;
    if key.is_empty() {
        return skipped("empty");
    }
    key::is_pkcs8(key)
        .map(|()| "PKCS#8".to_owned())
        .map_err(Finding::Fails)
}

pub(super) fn key_of_leaf(identity: &Identity) -> Outcome {
    let leaf = identity.leaf()?;
    if key::is_pkcs8(&identity.message.x509_svid_key).is_err() {
        return skipped("the key is no PKCS#8");
    }
    key::matches(&identity.message.x509_svid_key, &leaf.public_key)
        .map(|()| "the key is the leaf's".to_owned())
        .map_err(Finding::Fails)
}

fn hint_unique(server: &Server) -> Outcome {
    let mut seen = BTreeSet::new();
    let svids = &server.x509.get()?.svids;
    for svid in svids.iter().filter(|svid| !svid.hint.is_empty()) {
        if !seen.insert(&svid.hint) {
            return fails(format!("two SVIDs have the hint {:?}", svid.hint));
        }
    }
    Ok(format!("{} hints", seen.len()))
}

pub(super) fn crls(lists: &[Vec<u8>]) -> Outcome {
    if lists.is_empty() {
        return Ok("none, which is allowed".to_owned());
    }
    each(
        lists,
        |list| format!("a list of {} bytes", list.len()),
        |list| {
            cert::is_crl(list)
                .map(|()| "a revocation list".to_owned())
                .map_err(Finding::Fails)
        },
    )
}

fn federated_keys(server: &Server) -> Outcome {
    let bundles = &server.x509.get()?.federated_bundles;
    match bundles.keys().find(|key| !id::is_trust_domain(key)) {
        Some(key) => fails(format!("{key:?} is not of the form spiffe://name")),
        None => Ok(format!("{} federated", bundles.len())),
    }
}

fn federated_foreign(server: &Server) -> Outcome {
    server.identity()?;
    let own: BTreeSet<String> = server.identities.iter().map(Identity::trust_domain).collect();
    let bundles = &server.x509.get()?.federated_bundles;
    let found = bundles
        .keys()
        .find(|key| own.contains(&id::Parts::of(key).trust_domain()));
    match found {
        Some(key) => fails(format!("{key} is the caller's own")),
        None => Ok(format!("{} federated", bundles.len())),
    }
}

fn federated_der(server: &Server) -> Outcome {
    let bundles = &server.x509.get()?.federated_bundles;
    if bundles.is_empty() {
        return Ok("none, which is allowed".to_owned());
    }
    each(
        bundles,
        |(domain, _)| (*domain).clone(),
        |(_, bundle)| match certificates(bundle) {
            Ok(list) if list.is_empty() => fails("empty"),
            Ok(list) => Ok(format!("{} certificates", list.len())),
            Err(why) => fails(why),
        },
    )
}
