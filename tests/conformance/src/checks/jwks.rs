//! FetchJWTBundles: Workload API, 6.2.2; JWT-SVID, 6; Trust Domain and Bundle, 4.
use super::{Check, Document, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::reading::id;
use crate::reading::jwks::{Key, KeySet};
use crate::seen::Server;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "jwks.there",
        Document::WorkloadApi,
        "6.2.2",
        "`bundles` is mandatory",
        Look::At(there),
    ),
    must(
        "jwks.own",
        Document::WorkloadApi,
        "6.2.2",
        "`bundles` has that of the server's own trust domain",
        Look::At(own),
    ),
    must(
        "jwks.map-keys",
        Document::WorkloadApi,
        "6.1, JWTBundlesResponse",
        "`bundles` is keyed by the SPIFFE IDs of trust domains",
        Look::At(map_keys),
    ),
    must(
        "jwks.set",
        Document::Bundle,
        "4.1.3",
        "a bundle is a JWK Set with the array `keys`",
        Look::At(|s| {
            each(
                &s.jwt_bundles.get()?.bundles,
                |(d, _)| (*d).clone(),
                |(_, bundle)| match KeySet::read(bundle) {
                    Ok(set) => Ok(format!("{} keys", set.keys.len())),
                    Err(why) => fails(why),
                },
            )
        }),
    ),
    must(
        "jwks.key-type",
        Document::Bundle,
        "4.2.1",
        "each key has `kty`",
        Look::At(|s| keys(s, |key| text(key, "kty"))),
    ),
    must(
        "jwks.key-id",
        Document::Jwt,
        "6.1",
        "each key has `kid`",
        Look::At(|s| keys(s, |key| text(key, "kid"))),
    ),
    should(
        "jwks.key-id-unique",
        Document::Bundle,
        "4, RFC 7517 4.5",
        "the keys of a set have different `kid`s",
        Look::At(|s| sets(s, key_ids_unique)),
    ),
    must(
        "jwks.only-jwt",
        Document::WorkloadApi,
        "6.2.2",
        "there are no keys with other uses than JWT-SVIDs",
        Look::At(|s| keys(s, only_jwt)),
    ),
    should(
        "jwks.parameters",
        Document::Bundle,
        "4.2",
        "a key has no parameters that no standard gives it: nothing private",
        Look::At(|s| keys(s, public)),
    ),
    must(
        "jwks.sequence",
        Document::Bundle,
        "4.1.1",
        "`spiffe_sequence` is an integer, if it is there",
        Look::At(|s| sets(s, |set| integer(set, "spiffe_sequence"))),
    ),
    must(
        "jwks.refresh-hint",
        Document::Bundle,
        "4.1.2",
        "`spiffe_refresh_hint` is an integer, if it is there",
        Look::At(|s| sets(s, |set| integer(set, "spiffe_refresh_hint"))),
    ),
];

fn there(server: &Server) -> Outcome {
    let count = server.jwt_bundles.get()?.bundles.len();
    holds(count > 0, format!("{count} trust domains"), || "empty".to_owned())
}

fn own(server: &Server) -> Outcome {
    let bundles = &server.jwt_bundles.get()?.bundles;
    super::bundles::own_among(server, bundles.keys())
}

fn map_keys(server: &Server) -> Outcome {
    let bundles = &server.jwt_bundles.get()?.bundles;
    match bundles.keys().find(|key| !id::is_trust_domain(key)) {
        Some(key) => fails(format!("{key:?} is not of the form spiffe://name")),
        None => Ok(format!("{} trust domains", bundles.len())),
    }
}

fn sets(server: &Server, look: impl Fn(&KeySet) -> Outcome) -> Outcome {
    each(
        &server.jwt_bundles.get()?.bundles,
        |(domain, _)| (*domain).clone(),
        |(_, bundle)| match KeySet::read(bundle) {
            Ok(set) => look(&set),
            Err(why) => skipped(format!("the bundle cannot be read: {why}")),
        },
    )
}

fn keys(server: &Server, look: impl Fn(&Key) -> Outcome) -> Outcome {
    sets(server, |set| {
        each(
            set.keys.iter().enumerate(),
            |(place, _)| format!("key {place}"),
            |(_, key)| look(key),
        )
    })
}

fn text(key: &Key, name: &str) -> Outcome {
    match key.text(name) {
        None | Some("") => fails(format!("no `{name}`")),
        Some(text) => Ok(text.to_owned()),
    }
}

fn key_ids_unique(set: &KeySet) -> Outcome {
    let mut seen = BTreeSet::new();
    for kid in set.keys.iter().filter_map(|key| key.text("kid")) {
        if !seen.insert(kid) {
            return fails(format!("two keys have the kid {kid:?}"));
        }
    }
    Ok(format!("{} kids", seen.len()))
}

fn only_jwt(key: &Key) -> Outcome {
    match key.text("use") {
        None | Some("jwt-svid" | "sig") if key.0.contains_key("x5c") => fails("a certificate (`x5c`)"),
        None => Ok("no `use`".to_owned()),
        Some(name @ ("jwt-svid" | "sig")) => Ok(name.to_owned()),
        Some(other) => fails(format!("`use` is {other:?}")),
    }
}

fn public(key: &Key) -> Outcome {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    match PRIVATE.iter().find(|name| key.0.contains_key(**name)) {
        Some(name) => fails(format!("the private parameter `{name}`")),
        None => Ok("nothing private".to_owned()),
    }
}

fn integer(set: &KeySet, name: &str) -> Outcome {
    match set.document.get(name) {
        None => Ok("none".to_owned()),
        Some(Value::Number(number)) if number.is_u64() => Ok(number.to_string()),
        Some(other) => holds(false, "", || format!("`{name}` is {other}")),
    }
}
