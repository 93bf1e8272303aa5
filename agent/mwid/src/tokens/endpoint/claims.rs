//! The claims of an ID token (OpenID Connect Core, 2). In: a token that came straight from its issuer over TLS, so that its signature need
//! not be checked (3.1.3.7, point 6). Out: audience, expiry, e-mail. Never shows the token.
use super::EndpointError;
use super::oauth::after;
use crate::http::web::Url;
use crate::tokens::IdToken;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mtls_identity::UnixTime;
use serde::Deserialize;
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) exp: u64,
    pub(crate) iat: Option<u64>,
    pub(crate) email: Option<String>,
}

/// None: it is no JWT with these claims.
pub(crate) fn read(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    serde_json::from_slice(&payload).ok()
}

/// An ID token for exactly the asked audience, and nothing else. It never counts for longer than it was made for, from the moment on in which
/// it was asked for: by a clock of ours that is behind, it would be served when it is over.
pub(crate) fn id_token(
    url: &Url,
    secret: Zeroizing<String>,
    audience: &str,
    asked_at: UnixTime,
) -> Result<IdToken, EndpointError> {
    let claims = read(&secret).ok_or_else(|| EndpointError::Field {
        url: url.clone(),
        field: "ID token",
    })?;
    if claims.aud != audience {
        return Err(EndpointError::Audience {
            url: url.clone(),
            asked: audience.to_owned(),
            given: claims.aud,
        });
    }
    let made_for = claims.exp.saturating_sub(claims.iat.unwrap_or_default());
    let last = after(asked_at, made_for).as_secs();
    Ok(IdToken::new(
        secret,
        UnixTime::since_unix_epoch(Duration::from_secs(claims.exp.min(last))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn claims_are_read_from_the_middle_part_alone() {
        let claims = read(&token(r#"{"aud":"a","exp":5,"email":"m","sub":"x"}"#)).unwrap();
        assert_eq!(
            (claims.aud.as_str(), claims.exp, claims.email.as_deref()),
            ("a", 5, Some("m"))
        );
        for bad in [
            "",
            "a.b",
            "a.b.c",
            &token("{}"),
            &token(r#"{"aud":["a","b"],"exp":5}"#),
            &token(r#"{"aud":"a","exp":-1}"#),
            &format!("{}.d", token(r#"{"aud":"a","exp":5}"#)),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_clock_that_is_behind_prolongs_no_token() {
        let url = Url::parse("https://h.example/").unwrap();
        let until = |payload: &str, now| {
            let token = id_token(&url, token(payload).into(), "a", at(now)).unwrap();
            token.expires_at.as_secs()
        };
        let hour = r#"{"aud":"a","iat":10000,"exp":13600}"#;
        assert_eq!(until(hour, 10_000), 13_600);
        assert_eq!(until(hour, 8_000), 11_600, "our clock is behind");
        assert_eq!(until(hour, 12_000), 13_600, "made before, or our clock is ahead");
        let endless = format!(r#"{{"aud":"a","exp":{}}}"#, u64::MAX);
        assert_eq!(until(&endless, 10_000), 10_000 + 86_400);
    }

    #[test]
    fn a_token_for_another_audience_is_none() {
        let url = Url::parse("https://h.example/").unwrap();
        let made = || Zeroizing::new(token(r#"{"aud":"https://a.example","exp":5}"#));
        assert_eq!(
            id_token(&url, made(), "https://a.example", at(0))
                .unwrap()
                .expires_at
                .as_secs(),
            5
        );
        let error = id_token(&url, made(), "https://a.example/", at(0)).unwrap_err();
        assert!(matches!(error, EndpointError::Audience { .. }), "{error}");
    }
}
