//! Requests for tokens. In: a request that was let in. Out: a token and a line on the record, or why there is none.
use super::Connection;
use super::admit::Admitted;
use crate::caller::{Grant, What};
use crate::http::body::{self, BodyError};
use crate::http::reply::Reply;
use crate::report::Causes;
use crate::token_server::guest::Guest;
use crate::token_server::hand_out::{self, No};
use crate::token_server::query::Query;
use crate::token_server::refusal::Refused;
use crate::token_server::target::Target;
use crate::token_server::{refusal, words};
use crate::tokens::{Account, Failure, TokenError};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use mtls_identity::UnixTime;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Of the body of a POST: a chain of certificates.
const LARGEST_BODY: usize = 64 * 1024;
/// For the body of a POST.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A question for the source's own account, judged under a grant. Under another grant it is judged again.
pub(super) struct Memo {
    grant: Arc<Grant>,
    query: String,
    access: Arc<hand_out::Access>,
}

impl<G: Guest> Connection<G> {
    /// An access token that is at hand. Nothing here waits; most requests end here.
    pub(super) fn at_once(&self, asked: &Admitted<'_>) -> Option<Reply> {
        if asked.target != Target::Token("default") || asked.method != Method::GET {
            return None;
        }
        let access = self.judged(asked)?;
        let token = self.site.tokens.access_now(&access.ask)?;
        let now = self.site.clock.current_time()?;
        let reply = hand_out::access_reply(&token, now)?;
        self.guest.granted(What::AccessToken {
            scopes: &access.record,
        });
        Some(reply)
    }

    /// The question for an access token, if it is one.
    fn judged(&self, asked: &Admitted<'_>) -> Option<Arc<hand_out::Access>> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memo) = &*memo
            && Arc::ptr_eq(&memo.grant, &asked.grant)
            && memo.query == asked.query
        {
            return Some(Arc::clone(&memo.access));
        }
        let query = Query::parse(asked.query).ok()?;
        let access = hand_out::access(Account::Default, &query, None, &asked.grant).ok()?;
        let access = Arc::new(access);
        *memo = Some(Memo {
            grant: Arc::clone(&asked.grant),
            query: asked.query.to_owned(),
            access: Arc::clone(&access),
        });
        Some(access)
    }

    pub(super) async fn access(
        &self,
        name: &str,
        asked: &Admitted<'_>,
        body: Incoming,
    ) -> Result<Reply, Refused> {
        let query = Query::parse(asked.query)?;
        let body = post(asked, body).await?;
        let mut access = hand_out::access(Account::Default, &query, body, &asked.grant).map_err(|no| {
            let scopes = hand_out::joined(&hand_out::asked_scopes(&query));
            self.said_no(&no, What::AccessToken { scopes: &scopes })
        })?;
        // Only now: who is denied causes no question to the platform.
        access.ask.account = self.site.account(name).await;
        let token = match self.site.tokens.access_now(&access.ask) {
            Some(token) => token,
            None => {
                let began = Instant::now();
                let token = self.site.tokens.access(&access.ask).await;
                self.site.metrics.waited(began.elapsed());
                let what = What::AccessToken {
                    scopes: &access.record,
                };
                token.map_err(|error| self.got_none(asked.path, what, &error))?
            }
        };
        let reply = self
            .now()
            .and_then(|now| hand_out::access_reply(&token, now))
            .ok_or_else(hand_out::over)?;
        self.guest.granted(What::AccessToken {
            scopes: &access.record,
        });
        Ok(reply)
    }

    pub(super) async fn id(
        &self,
        name: &str,
        asked: &Admitted<'_>,
        body: Incoming,
    ) -> Result<Reply, Refused> {
        let query = Query::parse(asked.query)?;
        let body = post(asked, body).await?;
        let mut ask = hand_out::id(Account::Default, &query, body, &asked.grant).map_err(|no| {
            let audience = query.all("audience").next().unwrap_or_default();
            self.said_no(&no, What::IdToken { audience })
        })?;
        ask.account = self.site.account(name).await;
        let token = match self.site.tokens.id_now(&ask) {
            Some(token) => token,
            None => {
                let began = Instant::now();
                let token = self.site.tokens.id(&ask).await;
                self.site.metrics.waited(began.elapsed());
                let what = What::IdToken {
                    audience: &ask.audience,
                };
                token.map_err(|error| self.got_none(asked.path, what, &error))?
            }
        };
        let reply = self
            .now()
            .and_then(|now| hand_out::id_reply(token, now))
            .ok_or_else(hand_out::over)?;
        self.guest.granted(What::IdToken {
            audience: &ask.audience,
        });
        Ok(reply)
    }

    fn now(&self) -> Option<UnixTime> {
        self.site.clock.current_time()
    }

    /// What the source refuses goes on the record too: who asks is denied, though the rules grant it. Trouble of the source is no denial.
    fn got_none(&self, path: &str, what: What<'_>, error: &TokenError) -> Reply {
        if error.failure() == Failure::Refused {
            self.guest.denied(what, &Causes(error).to_string());
        }
        refusal::no_token(path, error)
    }

    /// Of what is refused here, only what the rules deny goes on the record.
    fn said_no(&self, no: &No, what: What<'_>) -> Reply {
        let why = no.to_string();
        match no {
            No::Denied(_) => {
                self.guest.denied(what, &why);
                words::refused(StatusCode::FORBIDDEN, &why)
            }
            _ => refusal::bad(&why),
        }
    }
}

/// The body of a POST: a JSON object that says something. A GET has none.
async fn post(asked: &Admitted<'_>, body: Incoming) -> Result<Option<Vec<u8>>, Refused> {
    if asked.method != Method::POST {
        return Ok(None);
    }
    let content_type = asked
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        let why = "a POST has a body of Content-Type application/json";
        return Err(words::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why).into());
    }
    let read = tokio::time::timeout(BODY_WITHIN, body::read(body, LARGEST_BODY)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error @ BodyError::TooLarge { .. })) => {
            return Err(words::refused(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()).into());
        }
        Ok(Err(error)) => return Err(refusal::bad(&Causes(&error).to_string()).into()),
        Err(_) => {
            let why = "the body did not come in time";
            return Err(words::refused(StatusCode::REQUEST_TIMEOUT, why).into());
        }
    };
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) {
        Ok(members) if !members.is_empty() => Ok(Some(bytes.to_vec())),
        _ => Err(refusal::bad(
            "a POST asks for a token bound to what its body, a JSON object, tells; this is none",
        )
        .into()),
    }
}
