//! Outbound routes of the proxy: is the one there whom each expects, and does it take us? Tried with the identity that the source delivers.
use super::{Finding, Scene};
use crate::config::{RouteSettings, Side, Target};
use crate::proxy::{self, Trouble};
use mtls_identity::{Clock, IdentitySnapshot};
use rustls::time_provider::DefaultTimeProvider;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Probes in flight.
const AT_ONCE: usize = 64;

pub(super) fn probe(scene: &Scene<'_>, identity: IdentitySnapshot) -> Vec<Finding> {
    let routes = scene.settings.proxy.routes.iter();
    let outbound: Vec<RouteSettings> = routes
        .filter(|route| matches!(route.side, Side::Outbound { .. }))
        .cloned()
        .collect();
    if outbound.is_empty() {
        return Vec::new();
    }
    let (mut writer, reader) = mtls_identity::store();
    writer.publish(identity);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return Vec::new(); // a machine without descriptors; others say so
    };
    let mut found = runtime.block_on(async {
        // Side by side: each may take its full time.
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut probes = JoinSet::new();
        let all = outbound
            .iter()
            .flat_map(|route| route.targets.iter().map(move |target| (route, target)));
        for (index, (route, target)) in all.enumerate() {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let (clock, reader): (Clock, _) = (Arc::new(DefaultTimeProvider), reader.clone());
            let (route, target, places) = (route.clone(), target.clone(), Arc::clone(&places));
            probes.spawn(async move {
                // Never closed.
                let _place = places.acquire().await;
                let tried = proxy::probe(&route, &target, reader, provider, clock).await;
                Some((index, finding(&route, &target, &tried.err()?)))
            });
        }
        probes.join_all().await
    });
    found.sort_by_key(|one| one.as_ref().map(|(index, _)| *index));
    found.into_iter().flatten().map(|(_, finding)| finding).collect()
}

fn finding(route: &RouteSettings, target: &Target, trouble: &Trouble) -> Finding {
    let (id, fix) = explain(trouble.reason);
    let what = format!(
        "the route {} does not reach {target}: {}",
        route.name, trouble.text
    );
    let why = match route.targets.len() {
        1 => "its callers get no connection",
        _ => "its callers get connections only to the other targets, if those are well",
    };
    Finding::error(id, what).why(why).fix(fix)
}

/// A stable name, and what to do.
fn explain(reason: &str) -> (&'static str, &'static str) {
    match reason {
        "look_up" => (
            "route_no_address",
            "correct the name in `connect`, or the DNS: getent hosts NAME",
        ),
        "connect" | "connect_timeout" => (
            "route_no_connection",
            "see that the target runs and listens there, and that no firewall is in between",
        ),
        "not_tls" | "spoke_first" | "closed" | "timeout" => (
            "route_no_tls",
            "see that `connect` names the port that speaks TLS, and not a plaintext one",
        ),
        "tls_version" | "alpn" | "tls" => (
            "route_no_common_tls",
            "compare versions and alpn of both sides; tls12: true allows TLS 1.2",
        ),
        "unknown_trust_domain" => (
            "route_unknown_trust_domain",
            "a bundle for that trust domain has to come from the source: add it to the pool's trust configuration",
        ),
        "unknown_issuer" | "bad_signature" | "root_expired" => (
            "route_not_trusted",
            "the target's chain has to end at a root of its trust domain's bundle; look at both",
        ),
        "no_rule" | "denied" => (
            "route_wrong_id",
            "correct `expect`, or `connect` if somebody else answers there",
        ),
        "expired" => (
            "route_peer_expired",
            "look at the clocks of both sides (timedatectl), then at why the target's certificate was not renewed",
        ),
        "not_yet_valid" => (
            "route_clock_skew",
            "look at the clocks of both sides (timedatectl): the target's certificate is of the future",
        ),
        "refused_by_peer" => (
            "route_refused",
            "the target does not take our identity: look at its log, its trust bundles and its rules",
        ),
        _ => (
            "route_refused_target",
            "the text names what is wrong with the target's certificate",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_has_a_name_and_a_way_out() {
        for (reason, id) in [
            ("connect", "route_no_connection"),
            ("not_tls", "route_no_tls"),
            ("unknown_trust_domain", "route_unknown_trust_domain"),
            ("no_rule", "route_wrong_id"),
            ("expired", "route_peer_expired"),
            ("not_yet_valid", "route_clock_skew"),
            ("refused_by_peer", "route_refused"),
            ("not_an_svid", "route_refused_target"),
        ] {
            assert_eq!(explain(reason).0, id, "{reason}");
        }
    }
}
