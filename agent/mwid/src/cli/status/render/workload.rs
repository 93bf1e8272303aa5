//! The SPIFFE Workload API, as lines of a status.
use super::Page;
use super::tokens::{many, said};
use crate::health::status::WorkloadStatus;

pub(super) fn workload(page: &mut Page, workload: &WorkloadStatus) {
    if !workload.listening {
        return page.line("workload", "off");
    }
    let text = format!(
        "{} of {}",
        many(workload.streams, "stream", "streams"),
        many(workload.callers, "caller", "callers")
    );
    page.line("workload", &text);
    if let Some(rotation) = &workload.rotation {
        let text = format!(
            "generation {} reached {}, the last after {:.1} ms",
            rotation.generation,
            many(rotation.subscribers, "stream", "streams"),
            rotation.slowest_seconds * 1e3
        );
        page.line("", &text);
    }
    if !workload.jwt_svids.is_empty() {
        page.line("", &format!("JWT-SVIDs: {}", workload.jwt_svids));
    }
    let sds = &workload.sds;
    if sds.streams > 0 || sds.nacks > 0 {
        let mut text = format!("Envoy: {}", many(sds.streams, "stream", "streams"));
        if sds.nacks > 0 {
            let refused = many(sds.nacks, "secret was", "secrets were");
            text.push_str(&page.paint.bad(&format!(", {refused} refused by it")));
        }
        page.line("", &text);
    }
    if let Some(denial) = &workload.last_denial {
        let text = said(page, denial);
        page.line("", &text);
    }
}
