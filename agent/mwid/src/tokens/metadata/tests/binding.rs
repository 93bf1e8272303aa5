//! A server that ignores a binding: nothing of it is handed on.
use super::super::binding;
use super::*;
use zeroize::Zeroizing;

const SUM: [u8; 32] = [0xfb; 32];

fn to(query: &[(&str, &str)]) -> Binding {
    Binding {
        query: query
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: None,
    }
}

fn to_certificate() -> Binding {
    to(&[("bindCertificateFingerprint", &STANDARD_NO_PAD.encode(SUM))])
}

/// As in a query.
fn encoded() -> String {
    STANDARD_NO_PAD
        .encode(SUM)
        .replace('+', "%2B")
        .replace('/', "%2F")
}

#[tokio::test]
async fn an_id_token_that_is_not_bound_to_the_asked_certificate_is_not_handed_on() {
    let server = Server::start();
    let path = format!(
        "instance/service-accounts/default/identity?audience=a&format=standard&bindCertificateFingerprint={}",
        encoded()
    );
    let ask = IdAsk {
        binding: Some(to_certificate()),
        ..for_audience("a", IdFormat::Standard)
    };
    let plain = json!({"aud": "a", "exp": NOW + 60});
    let with = |cnf: Value| json!({"aud": "a", "exp": NOW + 60, "cnf": cnf});
    for (claims, holds) in [
        (plain, false),
        (with(Value::Null), false),
        (with(json!({})), false),
        (with(json!({"x5t#S256": URL_SAFE_NO_PAD.encode([7; 32])})), false),
        (with(json!({"x5t#S256": ""})), false),
        (with(json!({"x5t#S256": URL_SAFE_NO_PAD.encode(SUM)})), true),
    ] {
        server.set(&path, Told::status(200, &jwt(&claims)));
        let token = over(&server).id(&ask).await;
        if holds {
            assert_eq!(*token.unwrap().secret, jwt(&claims));
        } else {
            let (failure, words) = told(token);
            assert_eq!(failure, Failure::Refused, "{claims}");
            assert!(words.contains("cnf") && words.contains("no weaker"), "{words}");
        }
    }
}

#[tokio::test]
async fn what_no_id_token_can_show_is_refused() {
    let (_platform, source) = start();
    for query in [
        &[("transport", "mtls")][..],
        &[("transport", "alts"), ("binding-enforcement", "on")],
    ] {
        let ask = IdAsk {
            binding: Some(to(query)),
            ..for_audience("a", IdFormat::Standard)
        };
        let (failure, words) = told(source.id(&ask).await);
        assert_eq!(failure, Failure::Refused);
        assert!(words.contains("only a certificate"), "{words}");
    }
}

#[tokio::test]
async fn an_access_token_that_the_server_also_gives_without_the_binding_is_not_handed_on() {
    let server = Server::start();
    let token = |secret: &str| {
        let answer = json!({"access_token": secret, "expires_in": 3599, "token_type": "Bearer"});
        Told::json(&answer.to_string())
    };
    server.set(TOKEN, token("ya29.secret-of-all"));
    let path = format!("{TOKEN}?bindCertificateFingerprint={}", encoded());
    server.set(&path, token("ya29.secret-of-all"));
    let ask = AccessAsk {
        binding: Some(to_certificate()),
        ..wanting(&[])
    };
    let (failure, words) = told(over(&server).access(&ask).await);
    assert_eq!(failure, Failure::Refused);
    assert!(words.contains("without the binding"), "{words}");

    server.set(&path, token("ya29.secret-bound"));
    let bound = over(&server).access(&ask).await.unwrap();
    assert_eq!(*bound.secret, "ya29.secret-bound");
    assert_eq!(
        *over(&server).access(&wanting(&[])).await.unwrap().secret,
        "ya29.secret-of-all"
    );
}

#[test]
fn a_server_whose_tokens_always_differ_shows_nothing() {
    let secret = |text: &str| Zeroizing::new(text.to_owned());
    let judge = |bound, before, after| binding::access_token(&secret(bound), &secret(before), &secret(after));
    assert_eq!(judge("b", "a", "a"), Ok(()));
    assert_eq!(judge("b", "a", "c"), Err(BindingError::NoSign));
    // Renewed just then: before the bound question, and after it.
    assert_eq!(judge("c", "a", "c"), Err(BindingError::Ignored));
    assert_eq!(judge("a", "a", "c"), Err(BindingError::Ignored));
}

#[test]
fn a_fingerprint_is_read_as_google_s_libraries_write_it() {
    let thumbprint = URL_SAFE_NO_PAD.encode(SUM);
    for text in [
        STANDARD_NO_PAD.encode(SUM),
        format!("{}=", STANDARD_NO_PAD.encode(SUM)),
        thumbprint.clone(),
        encoded(),
    ] {
        let holds = binding::id_token(&to(&[("bindCertificateFingerprint", &text)]), Some(&thumbprint));
        assert_eq!(holds, Ok(()), "{text}");
    }
    let two = to(&[
        ("bindCertificateFingerprint", &thumbprint),
        ("bindCertificateFingerprint", &URL_SAFE_NO_PAD.encode([7; 32])),
    ]);
    assert_eq!(
        binding::id_token(&two, Some(&thumbprint)),
        Err(BindingError::Claim)
    );
    for text in ["", "x", "AAAA"] {
        assert_eq!(
            binding::id_token(&to(&[("bindCertificateFingerprint", text)]), Some(&thumbprint)),
            Err(BindingError::NoCertificate)
        );
    }
}
