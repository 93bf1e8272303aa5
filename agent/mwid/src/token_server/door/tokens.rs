//! Requests for tokens. In: a request that was let in. Out: a token and a line on the record, or why there is none.
use super::Connection;
use super::admit::Admitted;
use super::again::{Answered, judged};
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
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Of the body of a POST: a chain of certificates.
const LARGEST_BODY: usize = 64 * 1024;
/// For the body of a POST.
const BODY_WITHIN: Duration = Duration::from_secs(10);
const NO_MORE: &str = "while the token was fetched, the access rules of mwid took its grant away";
/// No denial, but none grants either.
const NOT_LOOKED_UP: &str = "mwid cannot see now what an access rule asks about you; ask again";

impl<G: Guest> Connection<G> {
    /// An access token that is at hand. Nothing here waits; most requests end here.
    pub(super) fn at_hand(&self, asked: &Admitted<'_>) -> Option<Reply> {
        if !matches!(asked.target, Target::Token("default")) || asked.method != Method::GET {
            return None;
        }
        let mut memo = self.memo();
        let memo = judged(&mut memo, asked)?;
        let tick = self.site.tokens.tick()?;
        let token = self.site.tokens.access_at(&memo.access.ask, &tick)?;
        let alt = memo.access.alt;
        let body = hand_out::access_body(&token, tick.time(), alt)?;
        let what = What::AccessToken {
            scopes: &memo.access.record,
        };
        let receipt = self.guest.granted_at(what, tick.time());
        memo.answered = receipt.map(|receipt| Answered {
            tick,
            receipt,
            token: Arc::downgrade(&token),
        });
        Some(hand_out::access_reply(body, alt))
    }

    pub(super) async fn access(
        &self,
        name: &str,
        asked: &Admitted<'_>,
        body: Incoming,
    ) -> Result<Reply, Refused> {
        let query = Query::parse(asked.query)?;
        let mut access = hand_out::access(Account::Default, &query, &asked.grant).map_err(|no| {
            let scopes = hand_out::joined(&hand_out::asked_scopes(&query));
            self.said_no(&no, What::AccessToken { scopes: &scopes })
        })?;
        // Only now: who is denied has no body kept for him, and causes no question to the platform.
        hand_out::bind(&mut access.ask.binding, self.post(asked, body).await?);
        let what = What::AccessToken {
            scopes: &access.record,
        };
        let account = self.site.account(name).await;
        access.ask.account = account.map_err(|error| self.got_none(asked.path, what, &error))?;
        let tokens = self.site.tokens.asked_by(self.holder);
        let token = match tokens.access_now(&access.ask) {
            Some(token) => token,
            None => self.waited(asked, what, tokens.access(&access.ask)).await?,
        };
        let scopes = |grant: &Grant| hand_out::still_granted(&access.ask, &query, grant);
        self.handed_out(asked, what, scopes, |now| {
            let body = hand_out::access_body(&token, now, access.alt)?;
            Some(hand_out::access_reply(body, access.alt))
        })
    }

    pub(super) async fn id(
        &self,
        name: &str,
        asked: &Admitted<'_>,
        body: Incoming,
    ) -> Result<Reply, Refused> {
        let query = Query::parse(asked.query)?;
        let alt = query.alt()?;
        let mut ask = hand_out::id(Account::Default, &query, &asked.grant).map_err(|no| {
            let audience = query.all("audience").next().unwrap_or_default();
            self.said_no(&no, What::IdToken { audience })
        })?;
        hand_out::bind(&mut ask.binding, self.post(asked, body).await?);
        let what = What::IdToken {
            audience: &ask.audience,
        };
        let account = self.site.account(name).await;
        ask.account = account.map_err(|error| self.got_none(asked.path, what, &error))?;
        let tokens = self.site.tokens.asked_by(self.holder);
        let token = match tokens.id_now(&ask) {
            Some(token) => token,
            None => self.waited(asked, what, tokens.id(&ask)).await?,
        };
        let audience = |grant: &Grant| grant.audience_allowed(&ask.audience).is_ok();
        self.handed_out(asked, what, audience, |now| hand_out::id_reply(token, now, alt))
    }

    /// A token that is not at hand.
    async fn waited<T>(
        &self,
        asked: &Admitted<'_>,
        what: What<'_>,
        token: impl Future<Output = Result<T, TokenError>>,
    ) -> Result<T, Refused> {
        let began = Instant::now();
        let token = token.await;
        self.site.metrics.waited(began.elapsed());
        token.map_err(|error| self.got_none(asked.path, what, &error).into())
    }

    /// Puts it on record, but for a HEAD, which is answered without the token. The token may have been waited for: what is granted now counts, and
    /// `is_in` tells whether it is in a grant.
    fn handed_out(
        &self,
        asked: &Admitted<'_>,
        what: What<'_>,
        is_in: impl FnOnce(&Grant) -> bool,
        reply: impl FnOnce(UnixTime) -> Option<Reply>,
    ) -> Result<Reply, Refused> {
        let is_granted = match self.guest.grant() {
            Ok(grant) => Arc::ptr_eq(&grant, &asked.grant) || is_in(&grant),
            Err(_) => false,
        };
        if !is_granted {
            self.guest.denied(what, NO_MORE);
            return Err(words::refused(StatusCode::FORBIDDEN, NO_MORE).into());
        }
        let now = self.site.clock.current_time().ok_or_else(hand_out::over)?;
        let reply = reply(now).ok_or_else(hand_out::over)?;
        if asked.method != Method::HEAD {
            self.guest.granted_at(what, now);
        }
        Ok(reply)
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
                if self.guest.is_settled() {
                    words::refused(StatusCode::FORBIDDEN, &why)
                } else {
                    words::unavailable(NOT_LOOKED_UP, Duration::from_secs(1))
                }
            }
            _ => refusal::bad(&why),
        }
    }

    /// The body of a POST: a JSON object that says something. A GET has none.
    async fn post(&self, asked: &Admitted<'_>, body: Incoming) -> Result<Option<Vec<u8>>, Refused> {
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
                self.tell_body("is too large");
                return Err(words::refused(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()).into());
            }
            Ok(Err(error)) => return Err(refusal::bad(&Causes(&error).to_string()).into()),
            Err(_) => {
                self.tell_body("did not come in time");
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

    fn tell_body(&self, why: &'static str) {
        if let Some(left_out) = self.log.say() {
            tracing::warn!(
                listener = self.listener,
                left_out,
                "the body of a request for a bound token {why}; it was refused"
            );
        }
    }
}
