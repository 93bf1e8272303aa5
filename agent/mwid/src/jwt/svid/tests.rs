//! Tokens of another implementation, of our own, and broken ones.
use super::*;
use crate::jwt::SigningKey;
use crate::jwt::compact::{CompactError, LONGEST, Part};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mtls_identity::{TrustBundle, TrustDomain};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use std::sync::LazyLock;
use std::time::Duration;

const NOW: u64 = 1_700_000_100;
const SUBJECT: &str = "spiffe://example.org/a";

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn bundle(domain: &str, keys: &Value) -> TrustBundle {
    let domain = TrustDomain::parse(domain).unwrap();
    TrustBundle::from_spiffe_json(domain, json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// Of a key that this process made.
struct Ours {
    key: SigningKey,
    bundles: TrustBundles,
}

static OURS: LazyLock<Ours> = LazyLock::new(|| {
    let key = SigningKey::new().unwrap();
    let bundles = TrustBundles::of(bundle("example.org", &json!([key.public("jwt-svid")])));
    Ours { key, bundles }
});

impl Ours {
    fn says(&self, claims: &Value) -> Result<Valid, Refusal> {
        let token = self.key.sign(claims).unwrap();
        validate(&token, "reports", &self.bundles, at(NOW))
    }
}

fn good() -> Value {
    json!({"sub": SUBJECT, "aud": ["reports"], "exp": NOW + 300, "iat": NOW})
}

#[test]
fn tokens_of_another_implementation_hold_with_every_algorithm_of_the_standard() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/vectors.json")).unwrap();
    let bundles = TrustBundles::of(bundle("example.org", &vectors["keys"]));
    let validate = |token: &Value| validate(token.as_str().unwrap(), "reports", &bundles, at(NOW));
    let good = vectors["good"].as_object().unwrap();
    assert_eq!(good.len(), 12);
    for (name, token) in good {
        let valid = validate(token).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            valid.id.as_str(),
            "spiffe://example.org/ns/shop/sa/payments",
            "{name}"
        );
        assert_eq!(
            valid.claims["nested"]["list"],
            json!([1, 2.5, null, true, "é"]),
            "{name}"
        );
    }
    for (name, token) in vectors["bad"].as_object().unwrap() {
        let refusal = validate(token).expect_err(name);
        let wanted = match name.as_str() {
            "RS256 with 1024 bits" | "PS256 with 1024 bits" => Refusal::Signature,
            "ES256K" | "EdDSA" | "HS256" | "none" => CompactError::Algorithm.into(),
            "another type" => CompactError::Type.into(),
            "a key in the header" | "critical" => CompactError::Parameter.into(),
            other => panic!("{other}"),
        };
        assert_eq!(refusal, wanted, "{name}");
    }
}

#[test]
fn our_own_hold_until_the_second_that_they_end_in() {
    let token = OURS.key.sign(&good()).unwrap();
    let valid = |now| validate(&token, "reports", &OURS.bundles, at(now));
    assert_eq!(valid(NOW + 299).unwrap().id.as_str(), SUBJECT);
    assert_eq!(valid(NOW + 300).unwrap_err(), Refusal::Expired);
    assert_eq!(valid(NOW - 60).unwrap().id.as_str(), SUBJECT);
    assert_eq!(valid(NOW - 61).unwrap_err(), Refusal::Early { claim: "iat" });
}

#[test]
fn claims_are_of_their_type_or_refused() {
    let with = |claim: &str, value: Value| {
        let mut claims = good();
        claims[claim] = value;
        OURS.says(&claims)
    };
    let without = |claim: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(claim);
        OURS.says(&claims)
    };
    for claim in ["sub", "aud", "exp"] {
        let refusal = without(claim).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Claim { claim: found, .. } if found == claim),
            "{refusal}"
        );
    }
    without("iat").unwrap();
    with("exp", json!(1_700_000_100.5)).unwrap();
    with("nbf", json!(NOW + 60)).unwrap();
    with("aud", json!("reports")).unwrap();
    with("aud", json!(["x", "reports"])).unwrap();
    assert_eq!(
        with("nbf", json!(NOW + 61)).unwrap_err(),
        Refusal::Early { claim: "nbf" }
    );
    assert_eq!(with("exp", json!(NOW)).unwrap_err(), Refusal::Expired);
    for aud in [json!("Reports"), json!(["report"]), json!("reports ")] {
        assert_eq!(with("aud", aud).unwrap_err(), Refusal::Audience);
    }
    for (claim, value) in [
        ("sub", json!("spiffe://example.org")),
        ("sub", json!("https://example.org/a")),
        ("sub", json!("spiffe://example.org/a/")),
        ("sub", json!([SUBJECT])),
        ("aud", json!([])),
        ("aud", json!(["reports", 1])),
        ("aud", json!({"reports": 1})),
        ("exp", json!("1700000400")),
        ("exp", json!(-1)),
        ("nbf", json!(null)),
        ("iat", json!("now")),
    ] {
        let refusal = with(claim, value.clone()).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Claim { claim: found, .. } if found == claim),
            "{claim} {value}: {refusal}"
        );
    }
}

#[test]
fn only_a_key_of_the_subject_s_own_domain_vouches_for_it() {
    let token = OURS.key.sign(&good()).unwrap();
    let ours = OURS.key.public("jwt-svid");
    let judge = |bundles: &TrustBundles| validate(&token, "reports", bundles, at(NOW)).map(|valid| valid.id);
    let trust_domain = || TrustDomain::parse("example.org").unwrap();
    let other = TrustBundles::of(bundle("example.com", &json!([ours])));
    assert_eq!(
        judge(&other),
        Err(Refusal::NoBundle {
            trust_domain: trust_domain()
        })
    );
    let mut both = TrustBundles::of(bundle("example.org", &json!([])));
    both.insert(bundle("example.com", &json!([ours]))).unwrap();
    assert_eq!(
        judge(&both),
        Err(Refusal::NoKeys {
            trust_domain: trust_domain()
        })
    );

    let with = |member: &str, value: Value| {
        let mut key = ours.clone();
        key.insert(member.to_owned(), value);
        judge(&TrustBundles::of(bundle("example.org", &json!([key]))))
    };
    let unknown = Err(Refusal::UnknownKey {
        trust_domain: trust_domain(),
    });
    assert_eq!(with("kid", json!("other")), unknown);
    assert_eq!(with("kid", json!(1)), unknown);
    assert_eq!(with("alg", json!("ES384")), unknown);
    assert_eq!(with("alg", json!(256)), unknown);
    for (member, value) in [("crv", "P-384"), ("kty", "RSA"), ("x", "AA"), ("x", "!")] {
        assert_eq!(with(member, json!(value)), unknown, "{member} {value}");
    }
    let off_the_curve = with("y", json!("A".repeat(43)));
    assert_eq!(off_the_curve, Err(Refusal::Signature));
    // Another key of the same name: each is asked.
    let mut twin = SigningKey::new().unwrap().public("jwt-svid");
    twin.insert("kid".to_owned(), ours["kid"].clone());
    let twins = |keys: Value| judge(&TrustBundles::of(bundle("example.org", &keys)));
    assert_eq!(twins(json!([twin])), Err(Refusal::Signature));
    twins(json!([twin, ours])).unwrap();
}

/// A token of any header and payload, with a signature that holds.
fn signed(header: &str, payload: &str) -> Result<Valid, Refusal> {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}", part(header), part(payload));
    let token = format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(OURS.key.signature(text.as_bytes()))
    );
    validate(&token, "reports", &OURS.bundles, at(NOW))
}

#[test]
fn readers_cannot_differ_about_a_token() {
    let header = json!({"alg": "ES256"}).to_string();
    let payload = good().to_string();
    signed(&header, &payload).unwrap();
    let doubled = |part| Refusal::from(CompactError::Doubled(part));
    let of = |header: &str, payload: &str| signed(header, payload).unwrap_err();
    assert_eq!(
        of(r#"{"alg":"none","alg":"ES256"}"#, &payload),
        doubled(Part::Header)
    );
    let twice = payload.replacen('{', r#"{"sub":"spiffe://example.org/b","#, 1);
    assert_eq!(of(&header, &twice), doubled(Part::Payload));
    let deep = payload.replacen('{', r#"{"x":{"y":1,"y":2},"#, 1);
    assert_eq!(of(&header, &deep), doubled(Part::Payload));
    for (bad, error) in [
        (r#"{"kid":"a"}"#, CompactError::Algorithm),
        (r#"{"alg":"es256"}"#, CompactError::Algorithm),
        (r#"{"alg":["ES256"]}"#, CompactError::Algorithm),
        (r#"{"alg":"ES256","kid":7}"#, CompactError::KeyId),
        (r#"{"alg":"ES256","typ":"jwt"}"#, CompactError::Type),
        (r#"{"alg":"ES256","typ":null}"#, CompactError::Type),
        (r#"{"alg":"ES256","cty":"JWT"}"#, CompactError::Parameter),
        (r#"{"alg":"ES256"} x"#, CompactError::Json(Part::Header)),
        ("[]", CompactError::Json(Part::Header)),
        ("", CompactError::Json(Part::Header)),
    ] {
        assert_eq!(of(bad, &payload), error.into(), "{bad}");
    }
    assert_eq!(
        of(&header, "\u{feff}{}"),
        CompactError::Json(Part::Payload).into()
    );
}

#[test]
fn a_token_is_three_parts_of_bounded_size() {
    let of = |token: &str| validate(token, "reports", &OURS.bundles, at(NOW)).unwrap_err();
    let token = OURS.key.sign(&good()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    for (text, error) in [
        (String::new(), CompactError::Parts),
        ("a.b".to_owned(), CompactError::Parts),
        (format!("{}.x", *token), CompactError::Parts),
        (
            format!("{}.{}..{}", parts[0], parts[1], parts[2]),
            CompactError::Parts,
        ),
        (
            format!("{} .{}.{}", parts[0], parts[1], parts[2]),
            CompactError::Base64(Part::Header),
        ),
        (
            format!("{}.{}=.{}", parts[0], parts[1], parts[2]),
            CompactError::Base64(Part::Payload),
        ),
        (
            format!("{}.{}.{}\n", parts[0], parts[1], parts[2]),
            CompactError::Base64(Part::Signature),
        ),
        (
            "a".repeat(LONGEST + 1),
            CompactError::TooLong { found: LONGEST + 1 },
        ),
    ] {
        assert_eq!(of(&text), error.into(), "{text}");
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(of(&unsigned), Refusal::Signature);
}

#[test]
fn no_refusal_quotes_the_token() {
    let secret = "tellnobody";
    for claims in [
        json!({"sub": secret}),
        json!({"sub": SUBJECT, "aud": secret, "exp": NOW + 1}),
        json!({"sub": SUBJECT, "exp": secret}),
        json!({"sub": format!("spiffe://example.org/{secret}?"), "aud": "x"}),
    ] {
        let refusal = OURS.says(&claims).unwrap_err();
        assert!(!format!("{refusal} {refusal:?}").contains(secret), "{refusal:?}");
    }
}

proptest! {
    #[test]
    fn one_changed_character_is_refused(at_index in any::<Index>(), to in "[A-Za-z0-9_.=-]") {
        let token = OURS.key.sign(&good()).unwrap();
        let position = at_index.index(token.len());
        let mut changed = token.to_string();
        changed.replace_range(position..=position, &to);
        let verdict = validate(&changed, "reports", &OURS.bundles, at(NOW));
        prop_assert_eq!(verdict.is_ok(), changed == *token);
    }

    #[test]
    fn parts_of_two_tokens_make_no_third(pick in proptest::array::uniform3(any::<bool>())) {
        let other = json!({"sub": "spiffe://example.org/b", "aud": "reports", "exp": NOW + 9});
        let tokens = [OURS.key.sign(&good()).unwrap(), OURS.key.sign(&other).unwrap()];
        let part = |n: usize| tokens[usize::from(pick[n])].split('.').nth(n).unwrap().to_owned();
        let mixed = [part(0), part(1), part(2)].join(".");
        let verdict = validate(&mixed, "reports", &OURS.bundles, at(NOW));
        prop_assert_eq!(verdict.is_ok(), pick[1] == pick[2]);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        prop_assert!(validate(&text, "reports", &OURS.bundles, at(NOW)).is_err());
        prop_assert!(validate(&parts.join("."), "reports", &OURS.bundles, at(NOW)).is_err());
    }
}
