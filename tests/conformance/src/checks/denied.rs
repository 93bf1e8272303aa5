//! A caller without an identity: Workload Endpoint, 6; Workload API, 5.2 and 6.2.
use super::{Check, Document, Look, Outcome, fails, should, skipped};
use crate::denied::Verdict;
use crate::messages::workload::{FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_BUNDLES, FETCH_X509_SVID};
use crate::seen::Server;

pub(super) const CHECKS: &[Check] = &[
    should(
        "denied.x509-svid",
        Document::WorkloadApi,
        "5.2.1",
        "FetchX509SVID of a caller without identities ends with PermissionDenied",
        Look::At(|s| denied(s, FETCH_X509_SVID, false)),
    ),
    should(
        "denied.x509-bundles",
        Document::WorkloadApi,
        "5.2.2",
        "FetchX509Bundles of a caller without any ends with PermissionDenied, unless bundles are everybody's",
        Look::At(|s| denied(s, FETCH_X509_BUNDLES, true)),
    ),
    should(
        "denied.jwt-svid",
        Document::WorkloadApi,
        "6.2.1",
        "FetchJWTSVID of a caller without identities ends with PermissionDenied",
        Look::At(|s| denied(s, FETCH_JWT_SVID, false)),
    ),
    should(
        "denied.jwt-bundles",
        Document::WorkloadApi,
        "6.2.2",
        "FetchJWTBundles of a caller without any ends with PermissionDenied, unless bundles are everybody's",
        Look::At(|s| denied(s, FETCH_JWT_BUNDLES, true)),
    ),
];

fn denied(server: &Server, method: &str, may_serve: bool) -> Outcome {
    match server.denied.of(method) {
        Verdict::NotTried(why) => skipped(why),
        Verdict::Code(7, told) => Ok(told.clone()),
        Verdict::Code(12, _) => skipped("not implemented here"),
        Verdict::Code(_, told) => fails(format!("told {told}")),
        Verdict::Served if may_serve => Ok("served to everybody".to_owned()),
        Verdict::Served => fails("served"),
    }
}
