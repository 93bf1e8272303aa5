//! A JWT-SVID that somebody hands in to be validated. Nothing panics; no text holds by itself; and claims that our own key signed hold only if they
//! are what the standard asks for.
#![no_main]
use libfuzzer_sys::fuzz_target;
use mtls_identity::{TrustBundle, TrustBundles, TrustDomain, UnixTime};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;

// The daemon is no library: the room names no other, so that it can be read alone.
#[path = "../../../agent/mwid/src/jwt/mod.rs"]
mod jwt;

const NOW: u64 = 1_700_000_000;

static OURS: LazyLock<(jwt::SigningKey, TrustBundles)> = LazyLock::new(|| {
    let key = jwt::SigningKey::new().unwrap();
    let bundle = TrustBundle::from_roots(TrustDomain::parse("a.b").unwrap(), vec![]).unwrap();
    let bundle = bundle.with_jwt_key(key.public("jwt-svid")).unwrap();
    (key, TrustBundles::of(bundle))
});

fn validate(token: &str) -> Result<jwt::svid::Valid, jwt::svid::Refusal> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    jwt::svid::validate(token, "x", &OURS.1, now)
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let refusal = match validate(text) {
        Ok(valid) => panic!("{valid:?}"),
        Err(refusal) => refusal,
    };
    let words = format!("{refusal} {refusal:?} {}", refusal.reason());
    assert!(words.len() < 1000);
    let Ok(claims) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let token = OURS.0.sign(&claims).unwrap();
    if let Ok(valid) = validate(&token) {
        assert_eq!(Value::Object(valid.claims), claims);
        assert_eq!(claims["sub"], json!(valid.id.as_str()));
        assert!(valid.id.as_str().starts_with("spiffe://a.b/"));
        assert!(claims["exp"].as_f64().unwrap() > 1_700_000_000.0);
        let asked = |audience: &Value| audience == "x";
        assert!(asked(&claims["aud"]) || claims["aud"].as_array().unwrap().iter().any(asked));
    }
});
