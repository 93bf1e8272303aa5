//! ValidateJWTSVID: Workload API, 6.2.3 and 6.3; JWT-SVID, 2 to 5.
use super::{Check, Document, Finding, Look, Outcome, fails, holds, must, should, skipped};
use crate::messages::workload::{VALIDATE_JWT_SVID, ValidateJwtSvidRequest, ValidateJwtSvidResponse};
use crate::reading::jwt::Token;
use crate::seen::Server;
use crate::wire::{Ask, Code, End};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use prost_types::value::Kind;
use serde_json::{Value, json};

pub(super) const CHECKS: &[Check] = &[
    must(
        "validate.accepts",
        Document::WorkloadApi,
        "6.2.3",
        "a good JWT-SVID validates for its audience",
        Look::Ask(|s| Box::pin(accepts(s))),
    ),
    must(
        "validate.spiffe-id",
        Document::WorkloadApi,
        "6.2.3",
        "the response has the SPIFFE ID of the JWT-SVID",
        Look::Ask(|s| Box::pin(spiffe_id(s))),
    ),
    should(
        "validate.claims",
        Document::WorkloadApi,
        "6.2.3",
        "the response has the claims `sub`, `aud` and `exp`",
        Look::Ask(|s| Box::pin(claims(s))),
    ),
    should(
        "validate.audience-required",
        Document::WorkloadApi,
        "4.5",
        "a request without the mandatory audience ends with InvalidArgument",
        Look::Ask(|s| Box::pin(required(s, false))),
    ),
    should(
        "validate.svid-required",
        Document::WorkloadApi,
        "4.5",
        "a request without the mandatory SVID ends with InvalidArgument",
        Look::Ask(|s| Box::pin(required(s, true))),
    ),
    must(
        "validate.other-audience",
        Document::Jwt,
        "3.2",
        "a token of another audience is rejected",
        Look::Ask(|s| {
            Box::pin(async {
                rejected(
                    s,
                    &token(s)?,
                    "spiffe-conformance-somebody-else",
                    "for another audience",
                )
                .await
            })
        }),
    ),
    must(
        "validate.altered",
        Document::Jwt,
        "4",
        "a token whose payload was altered is rejected",
        Look::Ask(|s| Box::pin(altered(s))),
    ),
    must(
        "validate.forged",
        Document::Jwt,
        "4",
        "a token that a key of nobody signed is rejected",
        Look::Ask(|s| Box::pin(forged(s, None))),
    ),
    must(
        "validate.unknown-domain",
        Document::WorkloadApi,
        "6.3",
        "a token of a trust domain without bundle is not trusted",
        Look::Ask(|s| Box::pin(forged(s, Some("spiffe://conformance.invalid/forged")))),
    ),
    must(
        "validate.none",
        Document::Jwt,
        "2.1",
        "a token of `alg` none is rejected",
        Look::Ask(|s| Box::pin(unsigned(s, "none"))),
    ),
    must(
        "validate.hmac",
        Document::Jwt,
        "2.1",
        "a token of a symmetric `alg`, signed with what is public, is rejected",
        Look::Ask(|s| Box::pin(unsigned(s, "HS256"))),
    ),
    must(
        "validate.json",
        Document::Jwt,
        "1",
        "a token in JWS JSON Serialization is rejected",
        Look::Ask(|s| Box::pin(json_serialization(s))),
    ),
    must(
        "validate.expired",
        Document::Jwt,
        "Appendix A",
        "a token that has expired is rejected",
        Look::Ask(|s| Box::pin(expired(s))),
    ),
];

/// A token of this caller, or a reason to skip.
fn token(server: &Server) -> Result<String, Finding> {
    match server.jwt.get()?.svids.first() {
        Some(svid) if Token::read(&svid.svid).is_ok() => Ok(svid.svid.clone()),
        Some(_) => skipped("the token cannot be read"),
        None => skipped("there is no JWT-SVID"),
    }
}

async fn ask(
    server: &Server,
    svid: &str,
    audience: &str,
) -> Result<Result<ValidateJwtSvidResponse, End>, Finding> {
    let request = ValidateJwtSvidRequest {
        audience: audience.to_owned(),
        svid: svid.to_owned(),
    };
    let mut call = server.call(Ask::one(VALIDATE_JWT_SVID, &request)).await?;
    match call.message().await? {
        Err(end) if end.code == Some(Code::UNIMPLEMENTED) => {
            skipped("ValidateJWTSVID is not implemented here")
        }
        other => Ok(other),
    }
}

async fn accepts(server: &Server) -> Outcome {
    match ask(server, &token(server)?, &server.options.audience).await? {
        Ok(_) => Ok("validates".to_owned()),
        Err(end) => fails(format!("a token that was just served: {end}")),
    }
}

async fn accepted(server: &Server) -> Result<ValidateJwtSvidResponse, Finding> {
    match ask(server, &token(server)?, &server.options.audience).await? {
        Ok(response) => Ok(response),
        Err(_) => skipped("no token validates"),
    }
}

async fn spiffe_id(server: &Server) -> Outcome {
    let token = token(server)?;
    let subject = Token::read(&token)
        .ok()
        .and_then(|t| t.subject().map(str::to_owned));
    let told = accepted(server).await?.spiffe_id;
    holds(Some(&told) == subject.as_ref(), &told, || {
        format!("{told:?} of a token of {:?}", subject.unwrap_or_default())
    })
}

async fn claims(server: &Server) -> Outcome {
    let token = token(server)?;
    let subject = Token::read(&token)
        .ok()
        .and_then(|t| t.subject().map(str::to_owned));
    let Some(claims) = accepted(server).await?.claims else {
        return fails("no claims");
    };
    let kind = |name: &str| claims.fields.get(name).and_then(|value| value.kind.clone());
    let audience = &server.options.audience;
    let has_audience = match kind("aud") {
        Some(Kind::StringValue(one)) => &one == audience,
        Some(Kind::ListValue(many)) => many
            .values
            .iter()
            .any(|v| matches!(&v.kind, Some(Kind::StringValue(one)) if one == audience)),
        _ => false,
    };
    if kind("sub") != subject.map(Kind::StringValue) {
        return fails("`sub` is not the token's");
    }
    if !has_audience {
        return fails("`aud` has not the audience");
    }
    holds(
        matches!(kind("exp"), Some(Kind::NumberValue(_))),
        "sub, aud, exp",
        || "`exp` is no number".to_owned(),
    )
}

async fn required(server: &Server, audience: bool) -> Outcome {
    let token = token(server)?;
    let (svid, audience) = if audience {
        ("", server.options.audience.as_str())
    } else {
        (token.as_str(), "")
    };
    match ask(server, svid, audience).await? {
        Err(end) if end.code == Some(Code::INVALID_ARGUMENT) => Ok(end.to_string()),
        Err(end) => fails(format!("told {end}")),
        Ok(_) => fails("validates"),
    }
}

/// Passes when the token is refused.
async fn rejected(server: &Server, svid: &str, audience: &str, what: &str) -> Outcome {
    match ask(server, svid, audience).await? {
        Err(end) => Ok(end.to_string()),
        Ok(_) => fails(format!("accepted {what}")),
    }
}

/// Base64url of JSON.
fn part(json: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}

async fn altered(server: &Server) -> Outcome {
    let good = token(server)?;
    let parts: Vec<&str> = good.split('.').collect();
    let [header, _, signature] = parts[..] else {
        return skipped("the token has not three parts");
    };
    let mut claims = Token::read(&good).map_err(Finding::Skipped)?.claims;
    claims.insert("exp".to_owned(), json!(4_102_444_800_u64));
    let text = format!("{header}.{}.{signature}", part(&Value::Object(claims)));
    rejected(server, &text, &server.options.audience, "with another payload").await
}

/// A token like the caller's, and everything about it right, but its key.
async fn forged(server: &Server, subject: Option<&str>) -> Outcome {
    let good = token(server)?;
    let read = Token::read(&good).map_err(Finding::Skipped)?;
    let mut claims = read.claims.clone();
    if let Some(subject) = subject {
        claims.insert("sub".to_owned(), json!(subject));
    }
    let mut header = read.header.clone();
    header.insert("alg".to_owned(), json!("ES256"));
    let signed = format!(
        "{}.{}",
        part(&Value::Object(header)),
        part(&Value::Object(claims))
    );
    let Ok(key) = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING) else {
        return skipped("no key could be made");
    };
    let Ok(signature) = key.sign(&SystemRandom::new(), signed.as_bytes()) else {
        return skipped("no signature could be made");
    };
    let text = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    rejected(
        server,
        &text,
        &server.options.audience,
        "of a key that nobody published",
    )
    .await
}

/// A token with an algorithm that proves nothing: no signature, or one that everybody can make of the public key set.
async fn unsigned(server: &Server, alg: &str) -> Outcome {
    let good = token(server)?;
    let read = Token::read(&good).map_err(Finding::Skipped)?;
    let mut header = read.header.clone();
    header.insert("alg".to_owned(), json!(alg));
    let signed = format!(
        "{}.{}",
        part(&Value::Object(header)),
        part(&Value::Object(read.claims.clone()))
    );
    let signature = if alg == "none" {
        String::new()
    } else {
        let public = server.jwt_bundles.bytes().map(|b| b.to_vec()).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
    };
    let text = format!("{signed}.{signature}");
    rejected(server, &text, &server.options.audience, &format!("of alg {alg}")).await
}

async fn json_serialization(server: &Server) -> Outcome {
    let good = token(server)?;
    let parts: Vec<&str> = good.split('.').collect();
    let [protected, payload, signature] = parts[..] else {
        return skipped("the token has not three parts");
    };
    let text = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
    rejected(server, &text, &server.options.audience, "in JSON").await
}

async fn expired(server: &Server) -> Outcome {
    match &server.options.expired_jwt {
        Some(token) => rejected(server, token, &server.options.audience, "after its end").await,
        None => skipped("no expired token was given (--expired-jwt)"),
    }
}
