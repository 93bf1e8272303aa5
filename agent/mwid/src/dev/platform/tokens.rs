//! The tokens of the embedded platform.
//!
//! In: whose, for what, until when. Out: JWTs that its JWKS verifies, the same one until five minutes of it remain, as the real platform does. Never one
//! that anybody else would believe: each says that it is for development, and no Google key signed it.
use crate::jwt::SigningKey;
use aws_lc_rs::error::Unspecified;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// Of an access token, in seconds; an ID token has one more.
const LIFETIME: u64 = 3599;
/// Remaining life with which a new one is made.
const RENEWED_AT: u64 = 300;
/// Different ones that are remembered.
const MOST: usize = 4096;

/// Whom a token speaks of.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) email: String,
    /// The number of the account.
    pub(super) id: &'static str,
}

#[derive(Default)]
pub(super) struct Issuer {
    key: OnceCell<SigningKey>,
    issued: Mutex<BTreeMap<String, Issued>>,
}

#[derive(Clone)]
pub(super) struct Issued {
    pub(super) text: Zeroizing<String>,
    /// Seconds since 1970.
    pub(super) expires_at: u64,
}

impl Issuer {
    /// The first use of the random generator takes a while, so it is not the runtime's thread that waits, and not the daemon's start.
    async fn key(&self) -> Result<&SigningKey, Unspecified> {
        let made = || async {
            let key = tokio::task::spawn_blocking(SigningKey::new).await;
            key.unwrap_or(Err(Unspecified))
        };
        self.key.get_or_try_init(made).await
    }

    pub(super) async fn jwks(&self) -> Result<Value, Unspecified> {
        Ok(json!({"keys": [self.key().await?.public("sig")]}))
    }

    /// With `more` claims, which are also what tells one token from another.
    pub(super) async fn access(
        &self,
        now: u64,
        whose: &Subject,
        more: &Map<String, Value>,
    ) -> Result<Issued, Unspecified> {
        let claims = json!({
            "iss": "https://mwid-dev.invalid",
            "aud": "https://mwid-dev.invalid",
        });
        self.token(now, LIFETIME, whose, claims, more).await
    }

    /// For an audience.
    pub(super) async fn id(
        &self,
        now: u64,
        whose: &Subject,
        audience: &str,
        more: &Map<String, Value>,
    ) -> Result<Issued, Unspecified> {
        let claims = json!({
            "iss": "https://accounts.google.com",
            "aud": audience,
            "email_verified": true,
        });
        self.token(now, LIFETIME + 1, whose, claims, more).await
    }

    async fn token(
        &self,
        now: u64,
        lifetime: u64,
        whose: &Subject,
        mut claims: Value,
        more: &Map<String, Value>,
    ) -> Result<Issued, Unspecified> {
        if let Value::Object(claims) = &mut claims {
            claims.extend(more.clone());
            claims.insert("azp".to_owned(), whose.id.into());
            claims.insert("sub".to_owned(), whose.id.into());
            claims.insert("email".to_owned(), whose.email.clone().into());
            claims.insert("mwid_development".to_owned(), true.into());
        }
        let name = claims.to_string();
        if let Some(known) = self.known(&name, now) {
            return Ok(known);
        }
        let expires_at = now + lifetime;
        if let Value::Object(claims) = &mut claims {
            claims.insert("iat".to_owned(), now.into());
            claims.insert("exp".to_owned(), expires_at.into());
        }
        let text = self.key().await?.sign(&claims)?;
        Ok(self.remember(name, now, Issued { text, expires_at }))
    }

    fn known(&self, name: &str, now: u64) -> Option<Issued> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.get(name).filter(|token| is_young(token, now)).cloned()
    }

    fn remember(&self, name: String, now: u64, token: Issued) -> Issued {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= MOST {
            issued.retain(|_, token| is_young(token, now));
        }
        if issued.len() >= MOST {
            issued.pop_first();
        }
        // Who asked at the same time gets the same.
        let kept = issued.entry(name).or_insert_with(|| token.clone());
        if !is_young(kept, now) {
            *kept = token;
        }
        kept.clone()
    }
}

/// After a step of the clock to the past, one that lives longer than any should is made anew too.
fn is_young(token: &Issued, now: u64) -> bool {
    token.expires_at > now + RENEWED_AT && token.expires_at <= now + LIFETIME + 1
}
