//! Routes of the proxy. Outbound: is the one there whom each expects, and does it take us? Tried with the identity that the source delivers. Inbound:
//! does the application take connections?
use super::{Finding, Scene};
use crate::config::{RouteSettings, Side, Target};
use crate::proxy::{self, Trouble};
use mtls_identity::{Clock, IdentitySnapshot, Reader};
use rustls::time_provider::DefaultTimeProvider;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Probes in flight.
const AT_ONCE: usize = 64;

pub(super) fn probe(scene: &Scene<'_>, identity: IdentitySnapshot) -> Vec<Finding> {
    let routes = &scene.settings.proxy.routes;
    if routes.is_empty() {
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
        let all = routes
            .iter()
            .flat_map(|route| route.targets.iter().map(move |target| (route, target)));
        for (index, (route, target)) in all.enumerate() {
            let (route, target, reader) = (route.clone(), target.clone(), reader.clone());
            let places = Arc::clone(&places);
            probes.spawn(async move {
                // Never closed.
                let _place = places.acquire().await;
                Some((index, look(&route, &target, reader).await?))
            });
        }
        probes.join_all().await
    });
    found.sort_by_key(|one| one.as_ref().map(|(index, _)| *index));
    found.into_iter().flatten().map(|(_, finding)| finding).collect()
}

async fn look(route: &RouteSettings, target: &Target, reader: Reader) -> Option<Finding> {
    match route.side {
        Side::Inbound => {
            let trouble = proxy::reach(route, target).await.err()?;
            Some(no_application(route, target, &trouble))
        }
        Side::Outbound { .. } => {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let clock: Clock = Arc::new(DefaultTimeProvider);
            let tried = proxy::probe(route, target, reader, provider, clock).await;
            Some(finding(route, target, &tried.err()?))
        }
    }
}

/// A warning: the application may be started after mwid.
fn no_application(route: &RouteSettings, target: &Target, trouble: &Trouble) -> Finding {
    let what = format!(
        "the application of the route {}, {target}, takes no connections: {}",
        route.name, trouble.text
    );
    Finding::warning("route_no_application", what)
        .why("peers are refused, or served by the route's other targets alone")
        .fix("start it, or correct `forward`")
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
        // A plaintext program that closes with our hello unread resets the connection.
        "not_tls" | "spoke_first" | "closed" | "io" | "timeout" => (
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
    use crate::publish::testing::Identities;
    use std::path::Path;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn an_application_that_does_not_listen_is_a_warning() {
        let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = app.local_addr().unwrap();
        let text = format!(
            "proxy: {{ inbound: [{{ name: in, listen: \"0.0.0.0:1\", forward: \"{at}\", unsafe_allow_all: true }}] }}"
        );
        let settings = crate::config::parse(&text, Path::new("test.yaml")).unwrap();
        let route = &settings.proxy.routes[0];
        let (_writer, reader) = mtls_identity::store();
        let target = &route.targets[0];
        assert!(look(route, target, reader.clone()).await.is_none());
        drop(app);
        let found = look(route, target, reader).await.unwrap();
        assert_eq!(found.id, "route_no_application");
        assert!(found.what.contains(&at.to_string()), "{}", found.what);
    }

    /// It closes with bytes unread: the kernel resets.
    #[tokio::test]
    async fn a_plaintext_target_that_resets_is_told_to_speak_no_tls() {
        let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = plain.local_addr().unwrap();
        let text = format!(
            "proxy: {{ outbound: [{{ name: out, listen: \"127.0.0.1:1\", connect: \"{at}\", expect: \"spiffe://a.test/x\" }}] }}"
        );
        let settings = crate::config::parse(&text, Path::new("test.yaml")).unwrap();
        let route = &settings.proxy.routes[0];
        let mut identities = Identities::new();
        identities.next();
        let answers = async {
            let (mut stream, _) = plain.accept().await.unwrap();
            // One byte of the hello is taken, so that the rest is there.
            stream.read_u8().await.unwrap();
        };
        let (found, ()) = tokio::join!(look(route, &route.targets[0], identities.reader), answers);
        let found = found.unwrap();
        assert_eq!(found.id, "route_no_tls", "{}", found.what);
        assert!(found.what.contains("broke"), "{}", found.what);
    }

    #[test]
    fn each_trouble_has_a_name_and_a_way_out() {
        for (reason, id) in [
            ("connect", "route_no_connection"),
            ("not_tls", "route_no_tls"),
            ("closed", "route_no_tls"),
            ("io", "route_no_tls"),
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
