//! The optional WIT-SVID profile: Workload API, 7; WIT-SVID.
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, skipped};
use crate::messages::workload::{
    FETCH_WIT_BUNDLES, FETCH_WIT_SVID, WitBundlesResponse, WitSvidRequest, WitSvidResponse,
};
use crate::reading::id;
use crate::reading::jwks::KeySet;
use crate::reading::jwt::{ALGORITHMS, Token};
use crate::seen::Server;
use crate::wire::{Ask, Code, End};

pub(super) const CHECKS: &[Check] = &[
    must(
        "wit.svid",
        Document::WorkloadApi,
        "7",
        "FetchWITSVID ends with Unimplemented, or has SVIDs with all their fields",
        Look::Ask(|s| Box::pin(svid(s))),
    ),
    must(
        "wit.bundles",
        Document::WorkloadApi,
        "7",
        "FetchWITBundles ends with Unimplemented, or has key sets by trust domain",
        Look::Ask(|s| Box::pin(bundles(s))),
    ),
    must(
        "wit.all-or-none",
        Document::WorkloadApi,
        "7",
        "without the profile, all of its methods end with Unimplemented",
        Look::Ask(|s| Box::pin(all_or_none(s))),
    ),
    must(
        "wit.headers",
        Document::Wit,
        "2",
        "a WIT-SVID has `kid`, an allowed `alg`, and the `typ` wit+jwt",
        Look::Ask(|s| Box::pin(headers(s))),
    ),
    must(
        "wit.claims",
        Document::Wit,
        "3",
        "a WIT-SVID has `sub`, `exp` and `cnf`, and no `aud`",
        Look::Ask(|s| Box::pin(claims(s))),
    ),
];

async fn fetch<M: prost::Message + Default>(
    server: &Server,
    method: &'static str,
) -> Result<Result<M, End>, Finding> {
    let mut call = server.call(Ask::one(method, &WitSvidRequest::default())).await?;
    Ok(call.message().await?)
}

fn absent(end: &End) -> Outcome {
    match end.code {
        Some(Code::UNIMPLEMENTED | Code::PERMISSION_DENIED) => Ok(end.to_string()),
        _ => fails(format!("told {end}")),
    }
}

async fn svid(server: &Server) -> Outcome {
    match fetch::<WitSvidResponse>(server, FETCH_WIT_SVID).await? {
        Err(end) => absent(&end),
        Ok(response) if response.svids.is_empty() => fails("`svids` is empty"),
        Ok(response) => each(
            &response.svids,
            |svid| svid.spiffe_id.clone(),
            |svid| {
                holds(
                    ![&svid.spiffe_id, &svid.wit_svid, &svid.wit_svid_key]
                        .iter()
                        .any(|field| field.is_empty()),
                    "all fields",
                    || "a mandatory field is empty".to_owned(),
                )
            },
        ),
    }
}

async fn bundles(server: &Server) -> Outcome {
    match fetch::<WitBundlesResponse>(server, FETCH_WIT_BUNDLES).await? {
        Err(end) => absent(&end),
        Ok(response) if response.bundles.is_empty() => fails("`bundles` is empty"),
        Ok(response) => each(
            &response.bundles,
            |(domain, _)| (*domain).clone(),
            |(domain, bundle)| match KeySet::read(bundle.as_bytes()) {
                _ if !id::is_trust_domain(domain) => fails("the key is no trust domain's ID"),
                Err(why) => fails(why),
                Ok(set) if set.keys.iter().any(|key| key.text("kid").is_none()) => {
                    fails("a key has no `kid`")
                }
                Ok(set) => Ok(format!("{} keys", set.keys.len())),
            },
        ),
    }
}

async fn all_or_none(server: &Server) -> Outcome {
    let missing = |end: Option<End>| end.is_some_and(|end| end.code == Some(Code::UNIMPLEMENTED));
    let svid = missing(fetch::<WitSvidResponse>(server, FETCH_WIT_SVID).await?.err());
    let bundles = missing(
        fetch::<WitBundlesResponse>(server, FETCH_WIT_BUNDLES)
            .await?
            .err(),
    );
    match (svid, bundles) {
        (true, false) => fails("only FetchWITSVID is Unimplemented"),
        (false, true) => fails("only FetchWITBundles is Unimplemented"),
        (true, true) => Ok("none".to_owned()),
        (false, false) => Ok("all".to_owned()),
    }
}

async fn tokens(server: &Server, look: impl Fn(&Token<'_>) -> Outcome) -> Outcome {
    let Ok(response) = fetch::<WitSvidResponse>(server, FETCH_WIT_SVID).await? else {
        return skipped("this caller has no WIT-SVIDs here: the profile is optional");
    };
    each(
        &response.svids,
        |svid| svid.spiffe_id.clone(),
        |svid| match Token::read(&svid.wit_svid) {
            Ok(token) => look(&token),
            Err(why) => fails(why),
        },
    )
}

async fn headers(server: &Server) -> Outcome {
    tokens(server, |token| {
        let good = token.header("kid").is_some()
            && token.header("typ") == Some("wit+jwt")
            && token.header("alg").is_some_and(|alg| ALGORITHMS.contains(&alg));
        holds(good, "kid, typ, alg", || format!("{:?}", token.header))
    })
    .await
}

async fn claims(server: &Server) -> Outcome {
    tokens(server, |token| {
        let good = token.subject().is_some()
            && token.expiry().is_some()
            && token.claims.contains_key("cnf")
            && !token.claims.contains_key("aud");
        holds(good, "sub, exp, cnf", || format!("{:?}", token.claims.keys()))
    })
    .await
}
