//! Updates: what streams say when identities rotate.
use super::chain::verifies;
use super::x509::key_of_leaf;
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, skipped};
use crate::run::{Push, Rotated};
use crate::seen::{Identity, Server};
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "rotation.x509",
        Document::WorkloadApi,
        "5.1, FetchX509SVID",
        "an open stream of FetchX509SVID gets the new SVIDs",
        Look::At(|s| pushed(&rotated(s)?.x509)),
    ),
    must(
        "rotation.every-stream",
        Document::WorkloadApi,
        "5.1, FetchX509SVID",
        "each open stream gets them, also on another connection",
        Look::At(every_stream),
    ),
    must(
        "rotation.full-set",
        Document::WorkloadApi,
        "4.3",
        "an update has the full set, and not only what changed",
        Look::At(full_set),
    ),
    must(
        "rotation.pair",
        Document::WorkloadApi,
        "5.1, X509SVIDResponse",
        "in an update, the keys are those of the SVIDs beside them",
        Look::At(|s| after(s, key_of_leaf)),
    ),
    must(
        "rotation.path",
        Document::X509,
        "5.1",
        "in an update, the SVIDs verify to the bundles beside them",
        Look::At(|s| after(s, |i| verifies(s, i))),
    ),
    must(
        "rotation.sds",
        Document::Xds,
        "DeltaDiscoveryRequest",
        "an open stream of StreamSecrets gets the new certificate",
        Look::At(|s| pushed(&rotated(s)?.sds)),
    ),
    must(
        "rotation.sds-version",
        Document::Xds,
        "ACK/NACK and versions",
        "the version changes when a resource does",
        Look::At(|s| differ(&rotated(s)?.sds, |tag| &tag.version)),
    ),
    must(
        "rotation.sds-nonce",
        Document::Xds,
        "Basic Protocol Overview",
        "an update has a nonce of its own",
        Look::At(|s| differ(&rotated(s)?.sds, |tag| &tag.nonce)),
    ),
    must(
        "rotation.delta",
        Document::Xds,
        "DeltaDiscoveryRequest",
        "an open stream of DeltaSecrets gets the new certificate",
        Look::At(|s| pushed(&rotated(s)?.delta)),
    ),
    must(
        "rotation.delta-version",
        Document::Xds,
        "Resource.version",
        "the version of a resource changes when it does",
        Look::At(|s| differ(&rotated(s)?.delta, |tag| &tag.version)),
    ),
];

fn rotated(server: &Server) -> Result<&Rotated, Finding> {
    server.rotated.as_ref().ok_or_else(|| {
        Finding::Skipped("no way to rotate was given (--rotate-cmd, --await-rotation)".to_owned())
    })
}

fn pushed<T>(push: &Push<T>) -> Outcome {
    match push {
        Push::Absent(why) => skipped(why),
        Push::Missed(why) => fails(why),
        Push::Came { after, .. } => Ok(format!("{after:.0?} after")),
    }
}

fn came<T>(push: &Push<T>) -> Result<(&T, &T), Finding> {
    match push {
        Push::Came { before, now, .. } => Ok((before, now)),
        Push::Absent(why) | Push::Missed(why) => skipped(why),
    }
}

fn differ<T>(push: &Push<T>, part: impl Fn(&T) -> &String) -> Outcome {
    let (before, now) = came(push)?;
    let (before, now) = (part(before), part(now));
    if before.is_empty() {
        return skipped("there was none before");
    }
    holds(before != now, format!("{before}, then {now}"), || {
        format!("{now} both times")
    })
}

fn every_stream(server: &Server) -> Outcome {
    let rotated = rotated(server)?;
    came(&rotated.x509)?;
    pushed(&rotated.elsewhere)
}

fn full_set(server: &Server) -> Outcome {
    let (before, now) = came(&rotated(server)?.x509)?;
    let ids = |message: &crate::messages::workload::X509SvidResponse| -> BTreeSet<String> {
        let svids = message.svids.iter().map(|svid| svid.spiffe_id.clone());
        svids.chain(message.federated_bundles.keys().cloned()).collect()
    };
    let (before, now) = (ids(before), ids(now));
    let missing: Vec<_> = before.difference(&now).filter(|name| !name.is_empty()).collect();
    holds(missing.is_empty(), format!("{} names", now.len()), || {
        format!("{missing:?} is missing")
    })
}

fn after(server: &Server, look: impl Fn(&Identity) -> Outcome) -> Outcome {
    let (_, now) = came(&rotated(server)?.x509)?;
    let identities: Vec<Identity> = now.svids.iter().map(Identity::of).collect();
    each(&identities, |i| i.name(), |i| look(i))
}
