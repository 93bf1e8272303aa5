//! The token endpoint of OAuth 2.0 (RFC 6749, 5) and of the Security Token Service (RFC 8693, 2.2): a form goes in, tokens come out.
//! Never hands on a token whose scopes are others than the asked ones.
use super::answer::{json, retry_after, seconds, secret, shown};
use super::send::send;
use super::{EndpointError, Reach};
use crate::http::web::{Answer, Call, Form, Url};
use crate::tokens::AccessToken;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use mtls_identity::UnixTime;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;
use zeroize::Zeroizing;

/// What an endpoint gave for a form.
pub(crate) struct Granted {
    url: Url,
    answer: TokenAnswer,
    /// The moment before the question: lifetimes count from here.
    asked_at: UnixTime,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret")]
    id_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    scope: Option<String>,
}

/// RFC 6749, 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// Sends a form.
pub(crate) async fn grant(
    reach: &Reach,
    url: &Url,
    form: &Form,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Granted, EndpointError> {
    let asked_at = reach.now();
    let call = |url| {
        let mut call = Call::form(url, form);
        call.headers = headers.to_vec();
        call
    };
    let answer = send(&reach.web, url, call).await.map_err(EndpointError::Web)?;
    match answer.status {
        StatusCode::OK => Ok(Granted {
            url: url.clone(),
            answer: json(url, &answer)?,
            asked_at,
        }),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Err(EndpointError::Busy {
                url: url.clone(),
                status: status.as_u16(),
                retry_after: retry_after(&answer),
            })
        }
        status => Err(refused(url, status, &answer, form)),
    }
}

fn refused(url: &Url, status: StatusCode, answer: &Answer, form: &Form) -> EndpointError {
    let refusal = serde_json::from_slice(&answer.body).unwrap_or(Refusal {
        error: "no reason in the answer".to_owned(),
        error_description: None,
    });
    let words = |text: String| {
        if form.is_betrayed_by(&text) {
            "…".to_owned()
        } else {
            shown(&text)
        }
    };
    EndpointError::Refused {
        url: url.clone(),
        status: status.as_u16(),
        code: words(refusal.error),
        description: words(refusal.error_description.unwrap_or_default()),
    }
}

impl Granted {
    /// The access token, if it has exactly the asked scopes. An answer without scopes has those that were asked for (RFC 6749, 5.1).
    pub(crate) fn access(mut self, asked: Option<&BTreeSet<String>>) -> Result<AccessToken, EndpointError> {
        let missing = |field| EndpointError::Field {
            url: self.url.clone(),
            field,
        };
        if let (Some(asked), Some(given)) = (asked, self.scopes())
            && !are_the_same(asked, &given)
        {
            return Err(EndpointError::Scopes {
                url: self.url.clone(),
                asked: asked.iter().cloned().collect(),
                given: given.into_iter().collect(),
            });
        }
        let bearer = self.answer.token_type.as_deref();
        if !bearer.is_some_and(|word| word.eq_ignore_ascii_case("bearer")) {
            return Err(missing("token_type (Bearer)"));
        }
        let lifetime = self.answer.expires_in.ok_or_else(|| missing("expires_in"))?;
        let secret = self
            .answer
            .access_token
            .take()
            .filter(|token| is_usable(token))
            .ok_or_else(|| missing("access_token"))?;
        let expires_at = after(self.asked_at, lifetime);
        Ok(AccessToken::new(secret, "Bearer".to_owned(), expires_at))
    }

    /// The ID token, if there is one.
    pub(crate) fn id_token(&mut self) -> Option<Zeroizing<String>> {
        self.answer.id_token.take().filter(|token| is_usable(token))
    }

    /// What the answer says of its scopes.
    pub(crate) fn scopes(&self) -> Option<BTreeSet<String>> {
        let text = self.answer.scope.as_deref()?;
        Some(text.split_whitespace().map(str::to_owned).collect())
    }
}

/// A token goes into a header: visible ASCII, and something.
pub(super) fn is_usable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

/// No lifetime is believed beyond a day: a wrong one would be served for ever.
pub(super) fn after(start: UnixTime, seconds: u64) -> UnixTime {
    const DAY: u64 = 86_400;
    UnixTime::since_unix_epoch(Duration::from_secs(
        start.as_secs().saturating_add(seconds.min(DAY)),
    ))
}

/// Google has two names for two scopes, answers with the long one, and adds `openid` to them.
fn are_the_same(asked: &BTreeSet<String>, given: &BTreeSet<String>) -> bool {
    let (asked, mut given) = (long_names(asked), long_names(given));
    let tells_who = asked.iter().any(|scope| scope.contains("/auth/userinfo."));
    if tells_who && !asked.contains("openid") {
        given.remove("openid");
    }
    asked == given
}

fn long_names(scopes: &BTreeSet<String>) -> BTreeSet<String> {
    let long = |scope: &String| match scope.as_str() {
        short @ ("email" | "profile") => format!("https://www.googleapis.com/auth/userinfo.{short}"),
        _ => scope.clone(),
    };
    scopes.iter().map(long).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[&str]) -> BTreeSet<String> {
        scopes.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn scopes_are_compared_as_google_means_them() {
        let email = "https://www.googleapis.com/auth/userinfo.email";
        assert!(are_the_same(&set(&["a", "b"]), &set(&["b", "a"])));
        assert!(are_the_same(&set(&["email"]), &set(&[email, "openid"])));
        assert!(are_the_same(&set(&["openid", "email"]), &set(&[email, "openid"])));
        for (asked, given) in [
            (&["a"][..], &["a", "b"][..]),
            (&["a", "b"], &["a"]),
            (&["a"], &["a", "openid"]),
            (&["email", "openid"], &[email]),
        ] {
            assert!(!are_the_same(&set(asked), &set(given)), "{asked:?} {given:?}");
        }
    }

    #[test]
    fn no_lifetime_is_believed_beyond_a_day() {
        let start = UnixTime::since_unix_epoch(Duration::from_secs(1000));
        assert_eq!(after(start, 3599).as_secs(), 4599);
        assert_eq!(after(start, u64::MAX).as_secs(), 87_400);
    }
}
