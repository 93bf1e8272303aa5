//! FetchJWTSVID: Workload API, 6.2.1; JWT-SVID, 2 to 5.
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::messages::workload::{FETCH_JWT_SVID, JwtSvid, JwtSvidRequest, JwtSvidResponse};
use crate::reading::id::Parts;
use crate::reading::jwks::KeySet;
use crate::reading::jwt::{ALGORITHMS, Token};
use crate::seen::Server;
use crate::wire::{Ask, Code, End};
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    should(
        "jwt.audience-required",
        Document::WorkloadApi,
        "4.5",
        "a request without the mandatory audience ends with InvalidArgument",
        Look::Ask(|s| Box::pin(audience_required(s))),
    ),
    must(
        "jwt.svids",
        Document::WorkloadApi,
        "6.2.1",
        "`svids` has one or more entries",
        Look::At(svids),
    ),
    must(
        "jwt.spiffe-id",
        Document::WorkloadApi,
        "6.2.1",
        "`spiffe_id` is mandatory",
        Look::At(|s| {
            every(s, |svid| {
                holds(!svid.spiffe_id.is_empty(), &svid.spiffe_id, || "empty".to_owned())
            })
        }),
    ),
    must(
        "jwt.svid",
        Document::WorkloadApi,
        "6.2.1",
        "`svid` is mandatory",
        Look::At(|s| {
            every(s, |svid| {
                holds(!svid.svid.is_empty(), "there", || "empty".to_owned())
            })
        }),
    ),
    must(
        "jwt.hint-unique",
        Document::WorkloadApi,
        "6.2.1",
        "a hint is unique in its response",
        Look::At(hint_unique),
    ),
    must(
        "jwt.every-identity",
        Document::WorkloadApi,
        "6.2.1",
        "without `spiffe_id`, there is a JWT-SVID of each identity of the caller",
        Look::At(every_identity),
    ),
    must(
        "jwt.asked-identity",
        Document::WorkloadApi,
        "6.2.1",
        "with `spiffe_id`, there is only that identity's",
        Look::Ask(|s| Box::pin(asked_identity(s))),
    ),
    should(
        "jwt.foreign-identity",
        Document::WorkloadApi,
        "6.2.1",
        "with the `spiffe_id` of somebody else, the call ends with PermissionDenied",
        Look::Ask(|s| Box::pin(foreign_identity(s))),
    ),
    must(
        "jwt.compact",
        Document::Jwt,
        "5.1",
        "a JWT-SVID is in JWS Compact Serialization",
        Look::At(|s| {
            every(s, |svid| match Token::read(&svid.svid) {
                _ if svid.svid.is_empty() => skipped("empty"),
                Ok(_) => Ok("compact".to_owned()),
                Err(why) => fails(why),
            })
        }),
    ),
    must(
        "jwt.algorithm",
        Document::Jwt,
        "2.1",
        "`alg` is one of RS, ES and PS with 256, 384 and 512",
        Look::At(|s| {
            tokens(s, |_, token| {
                let alg = token.header("alg").unwrap_or("none");
                holds(ALGORITHMS.contains(&alg), alg, || alg.to_owned())
            })
        }),
    ),
    must(
        "jwt.type",
        Document::Jwt,
        "2.3",
        "`typ` is JWT or JOSE, if it is there",
        Look::At(|s| {
            tokens(s, |_, token| match token.header.get("typ") {
                None => Ok("none".to_owned()),
                Some(typ) => holds(typ == "JWT" || typ == "JOSE", typ.to_string(), || typ.to_string()),
            })
        }),
    ),
    must(
        "jwt.headers",
        Document::Jwt,
        "2",
        "the JOSE header has nothing but `alg`, `kid` and `typ`",
        Look::At(|s| tokens(s, |_, token| headers(token))),
    ),
    must(
        "jwt.subject",
        Document::Jwt,
        "3.1",
        "`sub` is the SPIFFE ID of the workload",
        Look::At(|s| {
            tokens(s, |svid, token| {
                let subject = token.subject().unwrap_or_default();
                holds(
                    !subject.is_empty() && (subject == svid.spiffe_id || svid.spiffe_id.is_empty()),
                    subject,
                    || format!("{subject:?} in an SVID of {:?}", svid.spiffe_id),
                )
            })
        }),
    ),
    must(
        "jwt.audience",
        Document::Jwt,
        "3.2",
        "`aud` has one or more values",
        Look::At(|s| {
            tokens(s, |_, token| {
                let audience = token.audience();
                holds(!audience.is_empty(), format!("{audience:?}"), || {
                    "none".to_owned()
                })
            })
        }),
    ),
    must(
        "jwt.audience-asked",
        Document::WorkloadApi,
        "6.2.1",
        "the audience claim has what was asked for",
        Look::At(|s| {
            let asked = s.options.audience.as_str();
            tokens(s, |_, token| match token.audience()[..] {
                [] => skipped("no `aud`"),
                ref audience => holds(audience == [asked], asked, || {
                    format!("{audience:?}, and {asked:?} was asked for")
                }),
            })
        }),
    ),
    must(
        "jwt.expiry",
        Document::Jwt,
        "3.3",
        "`exp` is set",
        Look::At(|s| {
            tokens(s, |_, token| match token.expiry() {
                Some(expiry) => Ok(expiry.to_string()),
                None => fails("no number"),
            })
        }),
    ),
    must(
        "jwt.not-expired",
        Document::Jwt,
        "Appendix A",
        "`exp` is not in the past",
        Look::At(|s| {
            tokens(s, |_, token| match token.expiry() {
                Some(expiry) => {
                    let left = expiry - s.now.as_secs_f64();
                    holds(left > 0.0, format!("{left:.0} s left"), || {
                        format!("{left:.0} s left")
                    })
                }
                None => skipped("no `exp`"),
            })
        }),
    ),
    must(
        "jwt.signature",
        Document::WorkloadApi,
        "6.3",
        "a JWT-SVID verifies with the bundle of its subject's trust domain",
        Look::At(|s| tokens(s, |_, token| signature(s, token))),
    ),
];

fn every(server: &Server, look: impl Fn(&JwtSvid) -> Outcome) -> Outcome {
    each(
        &server.jwt.get()?.svids,
        |svid| svid.spiffe_id.clone(),
        |svid| look(svid),
    )
}

fn tokens(server: &Server, look: impl Fn(&JwtSvid, &Token<'_>) -> Outcome) -> Outcome {
    every(server, |svid| match Token::read(&svid.svid) {
        Ok(token) => look(svid, &token),
        Err(why) => skipped(format!("the token cannot be read: {why}")),
    })
}

/// Asks for JWT-SVIDs.
async fn fetch(
    server: &Server,
    audience: &[&str],
    spiffe_id: &str,
) -> Result<Result<JwtSvidResponse, End>, Finding> {
    let request = JwtSvidRequest {
        audience: audience.iter().map(|a| (*a).to_owned()).collect(),
        spiffe_id: spiffe_id.to_owned(),
    };
    let mut call = server.call(Ask::one(FETCH_JWT_SVID, &request)).await?;
    Ok(call.message().await?)
}

async fn audience_required(server: &Server) -> Outcome {
    server.jwt.get()?;
    match fetch(server, &[], "").await? {
        Err(end) if end.code == Some(Code::INVALID_ARGUMENT) => Ok(end.to_string()),
        Err(end) => fails(format!("told {end}")),
        Ok(_) => fails("served a token for nobody"),
    }
}

fn svids(server: &Server) -> Outcome {
    let count = server.jwt.get()?.svids.len();
    holds(count > 0, format!("{count}"), || "none".to_owned())
}

fn hint_unique(server: &Server) -> Outcome {
    let mut seen = BTreeSet::new();
    for svid in server.jwt.get()?.svids.iter().filter(|s| !s.hint.is_empty()) {
        if !seen.insert(&svid.hint) {
            return fails(format!("two SVIDs have the hint {:?}", svid.hint));
        }
    }
    Ok(format!("{} hints", seen.len()))
}

fn every_identity(server: &Server) -> Outcome {
    let served = &server.jwt.get()?.svids;
    let missing = server
        .identities
        .iter()
        .find(|i| !i.id().is_empty() && !served.iter().any(|svid| svid.spiffe_id == i.id()));
    if server.identities.is_empty()
        || served.is_empty()
        || served.iter().any(|svid| svid.spiffe_id.is_empty())
    {
        return skipped("there is nothing to compare with");
    }
    match missing {
        Some(identity) => fails(format!("none of {}", identity.name())),
        None => Ok(format!("{} identities", served.len())),
    }
}

async fn asked_identity(server: &Server) -> Outcome {
    // The last is asked for: the first would come of itself.
    let Some(id) = server.jwt.get()?.svids.last().map(|svid| svid.spiffe_id.clone()) else {
        return skipped("there is no JWT-SVID");
    };
    match fetch(server, &[&server.options.audience], &id).await? {
        Ok(response) => {
            let ids: Vec<&str> = response.svids.iter().map(|s| s.spiffe_id.as_str()).collect();
            holds(ids == [id.as_str()], &id, || format!("{ids:?} for {id}"))
        }
        Err(end) => fails(format!("for {id}, told {end}")),
    }
}

async fn foreign_identity(server: &Server) -> Outcome {
    let Some(svid) = server.jwt.get()?.svids.first() else {
        return skipped("there is no JWT-SVID");
    };
    let domain = Parts::of(&svid.spiffe_id).trust_domain();
    let foreign = format!("spiffe://{domain}/conformance/not-yours");
    match fetch(server, &[&server.options.audience], &foreign).await? {
        Err(end) if end.code == Some(Code::PERMISSION_DENIED) => Ok(end.to_string()),
        Err(end) => fails(format!("told {end}")),
        Ok(_) => fails(format!("served an SVID for a request of {foreign}")),
    }
}

fn headers(token: &Token<'_>) -> Outcome {
    let foreign = token
        .header
        .keys()
        .find(|name| !["alg", "kid", "typ"].contains(&name.as_str()));
    match foreign {
        Some(name) => fails(format!("`{name}`")),
        None => Ok(format!("{:?}", token.header.keys().collect::<Vec<_>>())),
    }
}

fn signature(server: &Server, token: &Token<'_>) -> Outcome {
    let domain = Parts::of(token.subject().unwrap_or_default()).trust_domain();
    let bundles = &server.jwt_bundles.get()?.bundles;
    let bundle = bundles
        .iter()
        .find(|(key, _)| Parts::of(key).trust_domain() == domain)
        .map(|(_, bundle)| KeySet::read(bundle));
    match bundle {
        Some(Ok(keys)) if keys.keys.is_empty() => skipped("the bundle has no keys"),
        Some(Ok(_)) if !ALGORITHMS.contains(&token.header("alg").unwrap_or_default()) => {
            skipped("its algorithm is not allowed")
        }
        Some(Ok(keys)) => token
            .verify(&keys)
            .map(|()| "verifies".to_owned())
            .map_err(Finding::Fails),
        Some(Err(why)) => skipped(format!("the bundle cannot be read: {why}")),
        None => skipped(format!("there is no bundle of {domain:?}")),
    }
}
