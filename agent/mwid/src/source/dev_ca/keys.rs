//! The keys that JWT-SVIDs are signed with. In: the time, once before each delivery. Out: what signs now, and the public keys that a delivery's
//! trust bundle holds. Never signs with a key that no bundle has shown before, never takes a key away while a token of it lives.
use crate::source::minter::{LIFETIME, Minter};
use aws_lc_rs::error::Unspecified;
use mtls_identity::{SpiffeId, UnixTime};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How long a key signs, in seconds.
const SIGNS_FOR: u64 = 24 * 60 * 60;

pub(super) struct Keys {
    id: SpiffeId,
    signing: Arc<Minter>,
    /// Since when, in seconds since 1970.
    since: u64,
    /// Shown in the delivery before, signs from the next one on.
    next: Option<Arc<Minter>>,
    retired: Option<Retired>,
}

struct Retired {
    public: Map<String, Value>,
    /// When the last token of it is over, in seconds since 1970.
    until: u64,
}

impl Keys {
    pub(super) fn new(id: &SpiffeId, now: UnixTime) -> Result<Self, Unspecified> {
        Ok(Self {
            id: id.clone(),
            signing: Arc::new(Minter::new(id)?),
            since: now.as_secs(),
            next: None,
            retired: None,
        })
    }

    /// Another delivery is about to be made.
    pub(super) fn turn(&mut self, now: UnixTime) -> Result<(), Unspecified> {
        let now = now.as_secs();
        self.retired.take_if(|retired| retired.until <= now);
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.signing, next);
            self.since = now;
            self.retired = Some(Retired {
                public: before.public(),
                until: now + LIFETIME.as_secs(),
            });
        } else if now.saturating_sub(self.since) >= SIGNS_FOR {
            self.next = Some(Arc::new(Minter::new(&self.id)?));
        }
        Ok(())
    }

    /// What signs.
    pub(super) fn minter(&self) -> Arc<Minter> {
        Arc::clone(&self.signing)
    }

    /// What verifies.
    pub(super) fn public(&self) -> Vec<Map<String, Value>> {
        let mut all = vec![self.signing.public()];
        all.extend(self.next.iter().map(|next| next.public()));
        all.extend(self.retired.iter().map(|retired| retired.public.clone()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_is_shown_before_it_signs_and_after_until_its_last_token_is_over() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let id = SpiffeId::parse("spiffe://dev.internal/a").unwrap();
        let mut keys = Keys::new(&id, at(1000)).unwrap();
        let first = keys.minter().public();
        keys.turn(at(1000 + SIGNS_FOR - 1)).unwrap();
        assert_eq!(keys.public(), std::slice::from_ref(&first));

        keys.turn(at(1000 + SIGNS_FOR)).unwrap();
        let shown = keys.public();
        assert_eq!((shown.len(), keys.minter().public()), (2, first.clone()));
        let second = shown[1].clone();

        let switched = 1010 + SIGNS_FOR;
        keys.turn(at(switched)).unwrap();
        assert_eq!(keys.minter().public(), second);
        assert_eq!(keys.public(), [second.clone(), first.clone()]);
        keys.turn(at(switched + 299)).unwrap();
        assert_eq!(keys.public(), [second.clone(), first]);
        keys.turn(at(switched + 300)).unwrap();
        assert_eq!(keys.public(), [second]);
    }
}
