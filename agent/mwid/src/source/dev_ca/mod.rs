//! Source `dev_ca`: a certificate authority in memory, for laptops and tests.
//!
//! In: a trust domain, a path, a lifetime. Out: a new leaf at once and at each half of its life, and what mints its JWT-SVIDs. Never keeps a key on disk,
//! never pretends to be more: it is loud in the log, in the status, and in the names of its CAs.
mod authority;
mod error;
mod keys;

pub(super) use authority::is_ours;
pub(super) use error::DevCaError;

use super::{Delivery, Origin, Report, SourceError};
use authority::Authority;
use keys::Keys;
use mtls_identity::{SpiffeId, TrustDomain, UnixTime};
use std::time::Duration;

pub(super) const KIND: &str = "dev_ca";

/// A laptop sleeps: the wall clock is looked at at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After an error; there is no cause that a longer wait would cure.
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn start(trust_domain: &TrustDomain, path: &str, lifetime: Duration, origin: &Origin) {
    let task = Task {
        trust_domain: trust_domain.clone(),
        id: format!("{}{path}", trust_domain.id()),
        lifetime,
        origin: origin.clone(),
        authority: None,
    };
    let stop = origin.stop.clone();
    origin.tasks.spawn(async move {
        tokio::select! {
            () = task.run() => {}
            () = stop.asked() => {}
        }
    });
}

struct Task {
    trust_domain: TrustDomain,
    id: String,
    lifetime: Duration,
    origin: Origin,
    authority: Option<(Authority, Keys)>,
}

impl Task {
    async fn run(mut self) {
        tracing::warn!(
            trust_domain = self.trust_domain.as_str(),
            "DEVELOPMENT identity: source dev_ca makes its own CA in memory; nobody else has reason to trust it"
        );
        loop {
            let (report, wait) = match self.issue() {
                Ok(delivery) => (Report::Delivery(delivery), self.lifetime / 2),
                Err(e) => (Report::Trouble(SourceError::DevCa(e)), RETRY),
            };
            if self.origin.out.send(report).await.is_err() {
                return;
            }
            self.sleep(wait).await;
        }
    }

    fn issue(&mut self) -> Result<Delivery, DevCaError> {
        let now = self.origin.now();
        let (authority, keys) = match &mut self.authority {
            Some(made) => {
                made.1.turn(now).map_err(DevCaError::JwtKey)?;
                made
            }
            none => none.insert(make(&self.trust_domain, &self.id, now)?),
        };
        Ok(Delivery {
            candidate: authority.leaf(&self.id, self.lifetime, keys.public(), now)?,
            minter: Some(keys.minter()),
            kind: KIND,
            from: self.trust_domain.id(),
            warning: None,
            seen_at: now,
            verdict: None,
        })
    }

    /// Until `wait` is over on either clock: the monotonic one stands still while a laptop sleeps.
    async fn sleep(&self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        let wall = self.origin.now().as_secs().saturating_add(wait.as_secs().max(1));
        while tokio::time::Instant::now() < until && self.origin.now().as_secs() < wall {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            tokio::time::sleep(left.min(LONGEST_WAIT)).await;
        }
    }
}

fn make(trust_domain: &TrustDomain, id: &str, now: UnixTime) -> Result<(Authority, Keys), DevCaError> {
    let id = SpiffeId::parse(id).map_err(DevCaError::Id)?;
    let authority = Authority::new(trust_domain, now)?;
    let keys = Keys::new(&id, now).map_err(DevCaError::JwtKey)?;
    Ok((authority, keys))
}

#[cfg(test)]
mod tests;
