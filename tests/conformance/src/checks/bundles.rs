//! FetchX509Bundles: Workload API, 5.2.2.
use super::x509::crls;
use super::{Check, Document, Look, Outcome, each, fails, holds, must};
use crate::reading::id;
use crate::seen::{Cert, Identity, Server, certificates};
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "bundles.there",
        Document::WorkloadApi,
        "5.2.2",
        "`bundles` is mandatory",
        Look::At(there),
    ),
    must(
        "bundles.own",
        Document::WorkloadApi,
        "5.2.2",
        "`bundles` has that of the server's own trust domain",
        Look::At(own),
    ),
    must(
        "bundles.keys",
        Document::WorkloadApi,
        "5.1, X509BundlesResponse",
        "`bundles` is keyed by the SPIFFE IDs of trust domains",
        Look::At(keys),
    ),
    must(
        "bundles.der",
        Document::WorkloadApi,
        "5.1, X509BundlesResponse",
        "a bundle is certificates in ASN.1 DER and nothing else",
        Look::At(|s| {
            bundles(s, |list| {
                list.map(|l| format!("{} certificates", l.len())).or_else(fails)
            })
        }),
    ),
    must(
        "bundles.ca",
        Document::WorkloadApi,
        "5.1, X509BundlesResponse",
        "the certificates of a bundle are those of CAs",
        Look::At(|s| bundles(s, ca)),
    ),
    must(
        "bundles.crl",
        Document::WorkloadApi,
        "5.1, X509BundlesResponse",
        "an entry of `crl` is a revocation list in ASN.1 DER",
        Look::At(|s| crls(&s.x509_bundles.get()?.crl)),
    ),
];

fn there(server: &Server) -> Outcome {
    let count = server.x509_bundles.get()?.bundles.len();
    holds(count > 0, format!("{count} trust domains"), || "empty".to_owned())
}

fn own(server: &Server) -> Outcome {
    let bundles = &server.x509_bundles.get()?.bundles;
    own_among(server, bundles.keys())
}

/// Whether one of the keys is a trust domain of the caller's identities: they live where the server does.
pub(super) fn own_among<'a>(server: &Server, keys: impl Iterator<Item = &'a String>) -> Outcome {
    server.identity()?;
    let keys: Vec<&String> = keys.collect();
    let own: BTreeSet<String> = server.identities.iter().map(Identity::trust_domain).collect();
    match keys
        .iter()
        .find(|key| own.contains(&id::Parts::of(key).trust_domain()))
    {
        _ if keys.is_empty() => super::skipped("`bundles` is empty"),
        Some(key) => Ok((*key).clone()),
        None => fails(format!("none of {own:?} is among {keys:?}")),
    }
}

fn keys(server: &Server) -> Outcome {
    let bundles = &server.x509_bundles.get()?.bundles;
    match bundles.keys().find(|key| !id::is_trust_domain(key)) {
        Some(key) => fails(format!("{key:?} is not of the form spiffe://name")),
        None => Ok(format!("{} trust domains", bundles.len())),
    }
}

fn bundles(server: &Server, look: impl Fn(Result<&[Cert], &str>) -> Outcome) -> Outcome {
    each(
        &server.x509_bundles.get()?.bundles,
        |(domain, _)| (*domain).clone(),
        |(_, bundle)| match certificates(bundle) {
            Ok(list) if list.is_empty() => look(Err("empty")),
            Ok(list) => look(Ok(&list)),
            Err(why) => look(Err(&why)),
        },
    )
}

fn ca(list: Result<&[Cert], &str>) -> Outcome {
    let Ok(list) = list else {
        return super::skipped("the bundle cannot be read");
    };
    match list.iter().find(|cert| !cert.facts.is_ca) {
        Some(cert) => fails(format!("{} is no CA", cert.facts.subject)),
        None => Ok(format!("{} CAs", list.len())),
    }
}
