//! Tokens. Their texts are wiped when the last holder lets go; Debug is closed.
use hyper::body::Bytes;
use mtls_identity::UnixTime;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use zeroize::Zeroizing;

/// An access token.
pub(crate) struct AccessToken {
    pub(crate) secret: Zeroizing<String>,
    /// `Bearer`.
    pub(crate) token_type: String,
    pub(crate) expires_at: UnixTime,
    /// The last answer made of it, and for which remaining life.
    rendered: RwLock<Option<(u64, Bytes)>>,
}

/// An ID token (a JWT).
pub(crate) struct IdToken {
    pub(crate) secret: Zeroizing<String>,
    pub(crate) expires_at: UnixTime,
}

/// A service account, as the metadata server tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountInfo {
    pub(crate) email: String,
    pub(crate) aliases: Vec<String>,
    /// What a token without asked scopes has; none known: empty.
    pub(crate) scopes: BTreeSet<String>,
}

impl AccessToken {
    /// `expires_at` is counted from the moment before the token was asked for.
    pub(crate) fn new(secret: Zeroizing<String>, token_type: String, expires_at: UnixTime) -> Self {
        Self {
            secret,
            token_type,
            expires_at,
            rendered: RwLock::new(None),
        }
    }

    /// The whole seconds that it still lives.
    pub(crate) fn remaining(&self, now: UnixTime) -> u64 {
        self.expires_at.as_secs().saturating_sub(now.as_secs())
    }

    /// An answer made of this token: `render` is given the remaining life in whole seconds, and runs once for each of them. What it makes
    /// is kept with the token, so it must wipe itself (`Bytes::from_owner` of something `Zeroizing`).
    pub(crate) fn body(&self, now: UnixTime, render: impl FnOnce(u64) -> Bytes) -> Bytes {
        let remaining = self.remaining(now);
        let kept = self.rendered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, body)) = &*kept
            && *of == remaining
        {
            return body.clone();
        }
        drop(kept);
        let body = render(remaining);
        let older = self
            .rendered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .replace((remaining, body.clone()));
        // Outside of the lock: wiping takes its time.
        drop(older);
        body
    }
}

impl IdToken {
    /// `expires_at` is the token's own `exp`.
    pub(crate) fn new(secret: Zeroizing<String>, expires_at: UnixTime) -> Self {
        Self { secret, expires_at }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn an_answer_is_made_once_a_second_and_tells_the_true_remaining_life() {
        let token = AccessToken::new("ya29.x".to_owned().into(), "Bearer".to_owned(), at(5000));
        let mut made = 0;
        let mut ask = |now| {
            token.body(at(now), |remaining| {
                made += 1;
                Bytes::from(remaining.to_string())
            })
        };
        assert_eq!(ask(1401), "3599");
        assert_eq!(ask(1401), "3599");
        assert_eq!(ask(1402), "3598");
        assert_eq!(ask(6000), "0");
        assert_eq!(made, 3);
    }

    #[test]
    fn debug_shows_no_token() {
        let access = AccessToken::new("ya29.secret".to_owned().into(), "Bearer".to_owned(), at(9));
        let _body = access.body(at(1), |_| Bytes::from_static(b"secret"));
        let id = IdToken::new("ey.secret".to_owned().into(), at(9));
        let shown = format!("{access:?} {id:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
