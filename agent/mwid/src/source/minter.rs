//! JWT-SVIDs of a source that can make them.
//!
//! In: audiences, the time. Out: a JWT-SVID for exactly these (JWT-SVID sections 2 and 3). Never one that the trust bundles of the identity in
//! force could not verify: whoever holds a minter got it with that identity.
use crate::jwt::SigningKey;
use aws_lc_rs::error::Unspecified;
use mtls_identity::{SpiffeId, UnixTime};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// JWT-SVIDs are bearer tokens: as short as clients with a slow clock bear (JWT-SVID section 7.1).
pub(super) const LIFETIME: Duration = Duration::from_secs(300);

/// Different audiences that are remembered.
const MOST: usize = 1024;

/// Whether there are JWT-SVIDs to be had.
#[derive(Clone, Debug)]
pub(crate) enum JwtSvids {
    /// The source, by name, gives none.
    None(&'static str),
    /// It does, with the identity that it has not delivered yet.
    NotYet,
    Minter(Arc<Minter>),
}

/// Makes JWT-SVIDs of one identity with one key.
pub(crate) struct Minter {
    id: SpiffeId,
    key: SigningKey,
    minted: Mutex<BTreeMap<Vec<String>, Minted>>,
}

/// A JWT-SVID, shared by all who ask for the same.
#[derive(Clone)]
pub(crate) struct Minted {
    pub(crate) token: Arc<Zeroizing<String>>,
    expires_at: u64,
}

impl Minter {
    pub(super) fn new(id: &SpiffeId) -> Result<Self, Unspecified> {
        Ok(Self {
            id: id.clone(),
            key: SigningKey::new()?,
            minted: Mutex::default(),
        })
    }

    /// Whom its tokens speak of.
    pub(crate) fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// What others verify its tokens with, for a trust bundle (JWT-SVID section 6.1).
    pub(super) fn public(&self) -> Map<String, Value> {
        self.key.public("jwt-svid")
    }

    /// A token for exactly these audiences, in their order: the one from before until half its life is over.
    pub(crate) fn mint(&self, audiences: &[String], now: UnixTime) -> Result<Minted, Unspecified> {
        let now = now.as_secs();
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = minted.get(audiences).filter(|known| known.is_young(now)) {
            return Ok(known.clone());
        }
        let expires_at = now + LIFETIME.as_secs();
        // Always a list: some clients take a single text for a list of characters.
        let claims = json!({
            "sub": self.id.as_str(),
            "aud": audiences,
            "iat": now,
            "exp": expires_at,
        });
        let new = Minted {
            token: Arc::new(self.key.sign(&claims)?),
            expires_at,
        };
        if minted.len() >= MOST {
            minted.retain(|_, known| known.is_young(now));
        }
        if minted.len() >= MOST {
            minted.pop_first();
        }
        minted.insert(audiences.to_vec(), new.clone());
        Ok(new)
    }
}

impl Minted {
    /// After a step of the clock to the past, one that would live longer than any should is made anew too.
    fn is_young(&self, now: u64) -> bool {
        let life = LIFETIME.as_secs();
        self.expires_at > now + life / 2 && self.expires_at <= now + life
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter")
            .field("id", &self.id)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Minter {
    /// One that no source has, and its public key.
    pub(crate) fn of(id: &SpiffeId) -> (Arc<Self>, Map<String, Value>) {
        let minter = Self::new(id).unwrap();
        let public = minter.public();
        (Arc::new(minter), public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::svid;
    use mtls_identity::{TrustBundle, TrustBundles};

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn minter() -> Minter {
        Minter::new(&SpiffeId::parse("spiffe://dev.internal/a").unwrap()).unwrap()
    }

    fn audiences(all: &[&str]) -> Vec<String> {
        all.iter().map(|&one| one.to_owned()).collect()
    }

    #[test]
    fn a_token_is_for_exactly_the_asked_audiences_and_verified_by_the_public_key() {
        let minter = minter();
        let bundle = TrustBundle::from_roots(minter.id().trust_domain().clone(), vec![]).unwrap();
        let bundles = TrustBundles::of(bundle.with_jwt_key(minter.public()).unwrap());
        let minted = minter.mint(&audiences(&["a", "b"]), at(NOW)).unwrap();
        let validate = |audience, now| svid::validate(&minted.token, audience, &bundles, at(now));
        let valid = validate("b", NOW + 299).unwrap();
        assert_eq!(valid.id, *minter.id());
        assert_eq!(
            Value::Object(valid.claims),
            json!({"sub": "spiffe://dev.internal/a", "aud": ["a", "b"], "iat": NOW, "exp": NOW + 300})
        );
        assert_eq!(validate("c", NOW).unwrap_err(), svid::Refusal::Audience);
        assert_eq!(validate("a", NOW + 300).unwrap_err(), svid::Refusal::Expired);
        let other = TrustBundles::of(
            TrustBundle::from_roots(minter.id().trust_domain().clone(), vec![])
                .and_then(|bundle| bundle.with_jwt_key(self::minter().public()))
                .unwrap(),
        );
        assert!(svid::validate(&minted.token, "a", &other, at(NOW)).is_err());
    }

    #[test]
    fn one_token_serves_until_half_its_life_and_no_clock_prolongs_it() {
        let minter = minter();
        let mint = |names: &[&str], now| minter.mint(&audiences(names), at(now)).unwrap().token;
        let first = mint(&["a"], NOW);
        assert!(Arc::ptr_eq(&first, &mint(&["a"], NOW + 149)));
        assert_ne!(first, mint(&["a", "b"], NOW));
        assert_ne!(mint(&["b", "a"], NOW), mint(&["a", "b"], NOW));
        let second = mint(&["a"], NOW + 150);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&second, &mint(&["a"], NOW)), "the clock went back");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let minter = minter();
        for n in 0..MOST + 10 {
            minter.mint(&[n.to_string()], at(NOW)).unwrap();
        }
        assert_eq!(minter.minted.lock().unwrap().len(), MOST);
    }

    #[test]
    fn debug_shows_no_token() {
        let minter = minter();
        let minted = minter.mint(&audiences(&["a"]), at(NOW)).unwrap();
        let shown = format!("{minter:?} {minted:?}");
        assert!(
            !shown.contains("eyJ") && shown.contains("mwid-development-"),
            "{shown}"
        );
    }
}
