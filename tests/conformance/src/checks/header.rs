//! The security header `workload.spiffe.io: true`: Workload Endpoint, 3 and 6.
use super::{Check, Document, Look, Outcome, fails, must, should, skipped};
use crate::messages::workload::{
    Empty, FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_BUNDLES, FETCH_X509_SVID, JwtSvidRequest,
    VALIDATE_JWT_SVID, ValidateJwtSvidRequest,
};
use crate::seen::Server;
use crate::wire::{Ask, Code, Event, SECURITY_HEADER};

pub(super) const CHECKS: &[Check] = &[
    must(
        "header.missing",
        Document::Endpoint,
        "6",
        "FetchX509SVID without the security header ends with InvalidArgument",
        Look::Ask(|s| Box::pin(missing(s, x509()))),
    ),
    must(
        "header.missing-x509-bundles",
        Document::Endpoint,
        "6",
        "FetchX509Bundles without the security header ends with InvalidArgument",
        Look::Ask(|s| Box::pin(missing(s, Ask::one(FETCH_X509_BUNDLES, &Empty {})))),
    ),
    must(
        "header.missing-jwt-svid",
        Document::Endpoint,
        "6",
        "FetchJWTSVID without the security header ends with InvalidArgument",
        Look::Ask(|s| {
            let request = JwtSvidRequest {
                audience: vec![s.options.audience.clone()],
                spiffe_id: String::new(),
            };
            Box::pin(missing(s, Ask::one(FETCH_JWT_SVID, &request)))
        }),
    ),
    must(
        "header.missing-jwt-bundles",
        Document::Endpoint,
        "6",
        "FetchJWTBundles without the security header ends with InvalidArgument",
        Look::Ask(|s| Box::pin(missing(s, Ask::one(FETCH_JWT_BUNDLES, &Empty {})))),
    ),
    must(
        "header.missing-validate",
        Document::Endpoint,
        "6",
        "ValidateJWTSVID without the security header ends with InvalidArgument",
        Look::Ask(|s| {
            let svid = s
                .jwt
                .get()
                .ok()
                .and_then(|jwt| Some(jwt.svids.first()?.svid.clone()));
            let request = ValidateJwtSvidRequest {
                audience: s.options.audience.clone(),
                svid: svid.unwrap_or_else(|| "e30.e30.e30".to_owned()),
            };
            Box::pin(missing(s, Ask::one(VALIDATE_JWT_SVID, &request)))
        }),
    ),
    must(
        "header.case",
        Document::Endpoint,
        "3",
        "the header's value is case sensitive: `True` is refused",
        Look::Ask(|s| Box::pin(refused(s, "True"))),
    ),
    must(
        "header.false",
        Document::Endpoint,
        "3",
        "the header's value is `true`: `false` is refused",
        Look::Ask(|s| Box::pin(refused(s, "false"))),
    ),
    must(
        "header.empty",
        Document::Endpoint,
        "3",
        "the header's value is `true`: an empty one is refused",
        Look::Ask(|s| Box::pin(refused(s, ""))),
    ),
    must(
        "header.longer",
        Document::Endpoint,
        "3",
        "the header's value is `true`: `truely` is refused",
        Look::Ask(|s| Box::pin(refused(s, "truely"))),
    ),
    should(
        "header.twice",
        Document::Endpoint,
        "3",
        "the header has the one value `true`: with `false` beside it, it is refused",
        Look::Ask(|s| Box::pin(twice(s))),
    ),
];

fn x509() -> Ask {
    Ask::one(FETCH_X509_SVID, &Empty {})
}

async fn missing(server: &Server, ask: Ask) -> Outcome {
    match server.first(ask.without(&SECURITY_HEADER)).await? {
        Event::End(end) if end.code == Some(Code::INVALID_ARGUMENT) => Ok(end.to_string()),
        Event::End(end) if end.code == Some(Code::UNIMPLEMENTED) => {
            skipped("the method is not implemented here")
        }
        Event::End(end) => fails(format!("told {end}")),
        Event::Message(_) => fails("served without the header"),
    }
}

async fn refused(server: &Server, value: &'static str) -> Outcome {
    let ask = x509().without(&SECURITY_HEADER).with(SECURITY_HEADER, value);
    told_no(server, ask, &format!("served with the value `{value}`")).await
}

async fn twice(server: &Server) -> Outcome {
    let ask = x509().with(SECURITY_HEADER, "false");
    told_no(server, ask, "served with the values `true` and `false`").await
}

async fn told_no(server: &Server, ask: Ask, served: &str) -> Outcome {
    match server.first(ask).await? {
        Event::End(end) if end.refused() => Ok(end.to_string()),
        _ => fails(served),
    }
}
