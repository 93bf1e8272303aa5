//! Rules on the peers of inbound routes, beside the trust bundles that the source delivers: a rule on a trust domain without a bundle lets nobody in.
use super::{Finding, Scene};
use crate::config::{RouteSettings, Side};
use mtls_identity::{IdentitySnapshot, TrustBundles};

pub(super) fn probe(scene: &Scene<'_>, identity: &IdentitySnapshot) -> Vec<Finding> {
    let routes = scene.settings.proxy.routes.iter();
    // Whom an outbound route meets is found out by dialling.
    let inbound = routes.filter(|route| route.side == Side::Inbound);
    inbound
        .flat_map(|route| look(route, identity.bundles()))
        .collect()
}

fn look(route: &RouteSettings, bundles: &TrustBundles) -> Vec<Finding> {
    let rules = route.peers.allow_rules().iter();
    let idle = rules.flat_map(|rule| {
        let unknown = rule.trust_domains().into_iter();
        let unknown =
            unknown.filter(|domain| bundles.get(domain).is_none_or(|bundle| bundle.roots().is_empty()));
        unknown.map(move |domain| {
            let what = format!(
                "the route {} lets in \"{rule}\", and the source delivers no roots of the trust domain {}",
                route.name,
                domain.as_str()
            );
            Finding::warning("route_rule_without_roots", what)
                .why("nothing vouches for its peers, so that each of them fails in the handshake")
                .fix("add the trust domain to the pool's trust configuration, or correct or remove the rule")
        })
    });
    idle.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtls_identity::{TrustBundle, TrustDomain};
    use std::path::Path;

    #[test]
    fn a_rule_on_a_trust_domain_without_roots_is_a_warning() {
        let text = "proxy: { inbound: [{ name: in, listen: \"0.0.0.0:1\", forward: \"127.0.0.1:2\", \
                    allow: [\"spiffe://here.test/a/*\", { trust_domain: [here.test, there.test], path: /x/**, not: \"spiffe://no.test\" }], \
                    deny: [\"spiffe://gone.test\"] }] }";
        let settings = crate::config::parse(text, Path::new("test.yaml")).unwrap();
        let route = &settings.proxy.routes[0];
        let world = testkit::pki::World::new("here.test");
        let root = pki_types::CertificateDer::from(world.root_der().to_vec());
        let here = TrustBundle::from_roots(TrustDomain::parse("here.test").unwrap(), vec![root]).unwrap();
        let [found] = &look(route, &TrustBundles::of(here))[..] else {
            panic!("one of them has no roots");
        };
        assert_eq!(found.id, "route_rule_without_roots");
        assert!(
            found.what.contains("of the trust domain there.test"),
            "{}",
            found.what
        );
    }
}
