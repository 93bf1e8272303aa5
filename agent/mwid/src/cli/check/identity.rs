//! Is what the source delivers an identity, is it the expected one, and how long does it last?
use super::{Finding, Scene, routes, rules};
use crate::report::Causes;
use mtls_identity::{Candidate, Prover, Refusal, UnixTime};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(super) fn judge(scene: &Scene<'_>, from: &str, candidate: &Candidate) -> Vec<Finding> {
    let Ok(since) = scene.now.duration_since(SystemTime::UNIX_EPOCH) else {
        return Vec::new(); // the clock's own finding says it
    };
    let now = UnixTime::since_unix_epoch(since);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let prover = Prover::new(provider).expecting(scene.settings.identity.expect.clone());
    match prover.prove(candidate, now) {
        Err(refusal) => vec![refused(from, &refusal)],
        Ok(snapshot) => {
            let id = snapshot.id().as_str();
            let lifetime = lifetime(id, snapshot.not_before(), snapshot.not_after(), now);
            let rules = rules::probe(scene, &snapshot);
            lifetime
                .into_iter()
                .chain(rules)
                .chain(routes::probe(scene, snapshot))
                .collect()
        }
    }
}

fn refused(from: &str, refusal: &Refusal) -> Finding {
    let what = format!("what {from} holds is no identity: {}", Causes(refusal));
    let (id, fix) = match refusal {
        Refusal::UnexpectedId { .. } => (
            "unexpected_id",
            "correct identity.expect, or the identity that this VM was given",
        ),
        Refusal::UnknownIssuer { .. }
        | Refusal::BadSignature { .. }
        | Refusal::RootExpired { .. }
        | Refusal::NoOwnBundle { .. }
        | Refusal::OwnBundleEmpty { .. } => (
            "chain_to_no_root",
            "the trust bundle must hold the root that issued the chain: add the CA to the pool's trust configuration",
        ),
        Refusal::Expired { .. } => (
            "expired",
            "find out why the platform no longer renews it: journalctl -u google-guest-agent",
        ),
        Refusal::NotYetValid { .. } => (
            "clock_wrong_or_certificate_of_the_future",
            "look at the clock first: timedatectl; if it is right, have the certificate issued anew",
        ),
        _ => (
            "identity_refused",
            "correct what issues or writes it; the reason names what is wrong",
        ),
    };
    Finding::error(id, what)
        .why(
            "mwid proves an identity before it uses it; this one would be refused and the last good one kept",
        )
        .fix(fix)
}

/// The platform renews at half of the life; with less than a quarter left a renewal did not come.
fn lifetime(id: &str, not_before: UnixTime, not_after: UnixTime, now: UnixTime) -> Option<Finding> {
    let life = not_after.as_secs().saturating_sub(not_before.as_secs());
    let left = not_after.as_secs().saturating_sub(now.as_secs());
    (left < life / 4).then(|| {
        Finding::warning(
            "close_to_expiry",
            format!(
                "the identity {id} has {} of {} left",
                humantime::format_duration(Duration::from_secs(left)),
                humantime::format_duration(Duration::from_secs(life))
            ),
        )
        .why("a platform renews long before; when it is expired, new handshakes fail")
        .fix("find out why the platform no longer renews it: journalctl -u google-guest-agent")
    })
}
