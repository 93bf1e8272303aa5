//! ValidateJWTSVID of the model.
use super::reply::Refusal;
use super::world::World;
use crate::messages::workload::{ValidateJwtSvidRequest, ValidateJwtSvidResponse};
use crate::reading::id::Parts;
use crate::reading::jwks::KeySet;
use crate::reading::jwt::{ALGORITHMS, Token};
use crate::wire::Code;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

const fn invalid(why: &'static str) -> Refusal {
    Refusal(Code::INVALID_ARGUMENT, why)
}

pub(super) fn validate(
    world: &World,
    request: &ValidateJwtSvidRequest,
) -> Result<ValidateJwtSvidResponse, Refusal> {
    let flaw = world.flaw;
    if request.audience.is_empty() && !flaw.is("validate.audience-required") {
        return Err(invalid("audience must be specified"));
    }
    if request.svid.is_empty() {
        return if flaw.is("validate.svid-required") {
            Ok(ValidateJwtSvidResponse::default())
        } else {
            Err(invalid("svid must be specified"))
        };
    }
    if request.svid.starts_with('{') && flaw.is("validate.json") {
        return Ok(ValidateJwtSvidResponse::default());
    }
    let token = Token::read(&request.svid).map_err(|_| invalid("no JWS in compact serialization"))?;
    proven(world, &token)?;
    let current = token
        .expiry()
        .is_some_and(|expiry| expiry > world.now.as_secs_f64());
    if !current && !flaw.is("validate.expired") {
        return Err(invalid("the token has expired"));
    }
    let meant = token.audience().contains(&request.audience.as_str());
    let forgiven = flaw.is("validate.other-audience") && !request.audience.is_empty()
        || flaw.is("validate.audience-required") && request.audience.is_empty();
    if !meant && !forgiven {
        return Err(invalid("the token is for another audience"));
    }
    if flaw.is("validate.accepts") {
        return Err(invalid("no"));
    }
    let subject = token.subject().unwrap_or_default();
    Ok(ValidateJwtSvidResponse {
        spiffe_id: flaw
            .or("validate.spiffe-id", subject, "spiffe://model.test/else")
            .to_owned(),
        claims: flaw.or("validate.claims", Some(claims(&token)), None),
    })
}

/// Whether the signature makes the token ours.
fn proven(world: &World, token: &Token<'_>) -> Result<(), Refusal> {
    let flaw = world.flaw;
    let alg = token.header("alg").unwrap_or_default();
    if !ALGORITHMS.contains(&alg) {
        let forgiven =
            alg == "none" && flaw.is("validate.none") || alg == "HS256" && flaw.is("validate.hmac");
        return if forgiven {
            Ok(())
        } else {
            Err(invalid("the algorithm is not allowed"))
        };
    }
    let domain = Parts::of(token.subject().unwrap_or_default()).trust_domain();
    if !world.is_domain(&format!("spiffe://{domain}")) {
        return if flaw.is("validate.unknown-domain") {
            Ok(())
        } else {
            Err(invalid("there is no bundle of the token's trust domain"))
        };
    }
    let keys = serde_json::json!({"keys": [world.authorities.signer.jwk("jwt-svid")]}).to_string();
    let keys = KeySet::read(keys.as_bytes()).unwrap_or_default();
    if token.verify(&keys).is_ok() {
        return Ok(());
    }
    // What was altered says that it ends in the year 2100; what was forged does not.
    let altered = token.expiry() == Some(4_102_444_800.0);
    if flaw.is("validate.altered") && altered || flaw.is("validate.forged") && !altered {
        return Ok(());
    }
    Err(invalid("the signature does not verify"))
}

fn claims(token: &Token<'_>) -> Struct {
    let value = |kind| Value { kind: Some(kind) };
    let text = |text: &str| value(Kind::StringValue(text.to_owned()));
    let audience = ListValue {
        values: token.audience().into_iter().map(text).collect(),
    };
    let mut claims = Struct::default();
    let mut put = |name: &str, value| claims.fields.insert(name.to_owned(), value);
    put("sub", text(token.subject().unwrap_or_default()));
    put("aud", value(Kind::ListValue(audience)));
    put(
        "exp",
        value(Kind::NumberValue(token.expiry().unwrap_or_default())),
    );
    claims
}
