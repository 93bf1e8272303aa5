//! The proof of what an agent answered. In: SVIDs as they came, the time. Out: identities; or which one does not hold, and why.
use crate::cli::{Exit, Failure};
use crate::workload_client::Svid;
use mtls_identity::{IdentitySnapshot, Prover, UnixTime};
use std::sync::Arc;

/// An identity and what it is for, by an operator's word.
pub(super) struct Proven {
    pub(super) identity: IdentitySnapshot,
    pub(super) hint: String,
}

pub(super) fn all(svids: Vec<Svid>, now: UnixTime) -> Result<Vec<Proven>, Failure> {
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let prove = |(position, svid): (usize, Svid)| {
        let not_shown =
            |what: &str| format!("SVID {position} of the answer {what}: nothing is shown or written");
        let identity = prover
            .prove(&svid.candidate, now)
            .map_err(|refusal| Failure::new(Exit::Data, not_shown("does not hold")).because(refusal))?;
        if *identity.id() != svid.id {
            let what = format!(
                "is said to be of {}, but its certificate is of {}",
                svid.id,
                identity.id()
            );
            return Err(Failure::new(Exit::Data, not_shown(&what)));
        }
        Ok(Proven {
            identity,
            hint: svid.hint,
        })
    };
    (1..).zip(svids).map(prove).collect()
}
