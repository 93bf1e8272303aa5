//! Who may come in at the routes of the proxy: what is open that the file could close. Looks at the settings alone.
use super::{Finding, Scene};
use crate::config::{AcceptProxy, Address, RouteSettings, Routes, Settings, Side};

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = scene.settings;
    let open = settings.proxy.routes.iter().filter_map(header_of_anybody);
    open.chain(callers_of_all_users(settings)).collect()
}

/// As long as no rule names routes, whoever is on this machine speaks as it.
fn callers_of_all_users(settings: &Settings) -> Option<Finding> {
    let routes = settings.proxy.routes.iter();
    let outbound = routes.filter(|route| matches!(route.side, Side::Outbound { .. }));
    let names: Vec<_> = outbound.map(|route| route.name.as_str()).collect();
    if names.is_empty() || settings.access.iter().any(|rule| rule.may.routes != Routes::None) {
        return None;
    }
    let found = Finding::note(
        "routes_without_rules",
        format!(
            "no access rule names a route, so every program on this machine may connect through {}",
            names.join(", ")
        ),
    );
    let example = names.first().copied().unwrap_or_default();
    Some(
        found
            .why("whom they connect to takes each of them for this VM")
            .fix(format!(
                "to let in who should: access: [{{ who: {{ unit: shop.service }}, may: {{ routes: [{example}] }} }}]; \
                 for everyone on purpose: {{ who: everyone, may: {{ routes: all }} }}"
            )),
    )
}

fn header_of_anybody(route: &RouteSettings) -> Option<Finding> {
    let near = matches!(route.listen.address, Address::Unix(_));
    (route.accept_proxy == AcceptProxy::FromAnybody && !near).then(|| {
        Finding::warning(
            "proxy_header_of_anybody",
            format!(
                "the route {} believes the PROXY header of whoever connects to it (accept_proxy: true)",
                route.name
            ),
        )
        .why("any client can choose the address that logs and the application see")
        .fix("name the load balancers' addresses: accept_proxy: { from: [\"35.191.0.0/16\", \"130.211.0.0/22\"] }")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn ids(text: &str) -> Vec<&'static str> {
        let settings = crate::config::parse(text, Path::new("test.yaml")).unwrap();
        let open = settings.proxy.routes.iter().filter_map(header_of_anybody);
        let found = open.chain(callers_of_all_users(&settings));
        found.map(|finding| finding.id).collect()
    }

    #[test]
    fn routes_that_no_rule_names_are_told_until_one_does() {
        let out = "proxy: { outbound: [{ name: out, listen: \"127.0.0.1:1\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\" }] }\n";
        let rule = |may: &str| format!("{out}access: [{{ who: everyone, may: {{ {may} }} }}]");
        assert_eq!(ids(out), ["routes_without_rules"]);
        assert_eq!(ids(&rule("access_tokens: true")), ["routes_without_rules"]);
        assert!(ids(&rule("routes: [out]")).is_empty());
        assert!(ids("").is_empty());
    }

    #[test]
    fn a_header_that_anybody_may_write_is_told() {
        let route = |listen: &str, accept: &str| {
            format!(
                "proxy: {{ inbound: [{{ name: in, listen: \"{listen}\", forward: \"127.0.0.1:2\", unsafe_allow_all: true, accept_proxy: {accept} }}] }}"
            )
        };
        assert_eq!(ids(&route("0.0.0.0:1", "true")), ["proxy_header_of_anybody"]);
        for (listen, accept) in [
            ("0.0.0.0:1", "false"),
            ("0.0.0.0:1", "{ from: [10.0.0.0/8] }"),
            ("unix:/run/in.sock", "true"),
        ] {
            assert!(ids(&route(listen, accept)).is_empty(), "{listen} {accept}");
        }
    }
}
