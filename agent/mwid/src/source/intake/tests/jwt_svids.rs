//! What mints JWT-SVIDs goes with the identity whose bundles verify them.
use super::*;
use crate::jwt::svid;

fn dev(lifetime: u64) -> IdentitySettings {
    settings(SourceSettings::DevCa {
        trust_domain: mtls_identity::TrustDomain::parse("dev.internal").unwrap(),
        path: "/a".to_owned(),
        lifetime: Duration::from_secs(lifetime),
    })
}

impl House {
    async fn minter(&self) -> Arc<Minter> {
        let mut seen = self.inlet.jwt_svids.clone();
        let there = seen.wait_for(|now| matches!(now, JwtSvids::Minter(_)));
        match &*timeout(LONG, there).await.unwrap().unwrap() {
            JwtSvids::Minter(minter) => Arc::clone(minter),
            other => panic!("{other:?}"),
        }
    }

    fn has_none(&self, source: &str) -> bool {
        matches!(*self.inlet.jwt_svids.borrow(), JwtSvids::None(found) if found == source)
    }
}

#[tokio::test(start_paused = true)]
async fn the_bundles_in_force_verify_what_is_minted() {
    let house = house(&settings(guest_agent()), &[]);
    assert!(house.has_none("guest_agent"));
    house.deliver(house.good()).await;
    house.generation(1).await;
    assert!(house.has_none("guest_agent"));

    house.inlet.replace(dev(3600)).await;
    let identity = house.generation(2).await;
    let first = house.minter().await;
    let now = house.clock.current_time().unwrap();
    let audiences = ["reports".to_owned()];
    let minted = first.mint(&audiences, now).unwrap();
    let valid = svid::validate(&minted.token, "reports", identity.bundles(), now).unwrap();
    assert_eq!((&valid.id, first.id()), (identity.id(), identity.id()));

    house.generation(3).await;
    assert!(
        Arc::ptr_eq(&first, &house.minter().await),
        "one key for many leaves"
    );

    house.inlet.replace(dev(1800)).await;
    let identity = house.generation(4).await;
    let mut seen = house.inlet.jwt_svids.clone();
    let another = seen.wait_for(|now| matches!(now, JwtSvids::Minter(new) if !Arc::ptr_eq(new, &first)));
    timeout(LONG, another).await.unwrap().unwrap();
    let now = house.clock.current_time().unwrap();
    let old = first.mint(&audiences, now).unwrap();
    let refusal = svid::validate(&old.token, "reports", identity.bundles(), now).unwrap_err();
    assert_eq!(refusal.reason(), "unknown_key", "another CA, another key");

    house.inlet.replace(settings(guest_agent())).await;
    assert!(house.has_none("guest_agent"));
}

#[tokio::test(start_paused = true)]
async fn a_restored_identity_mints_nothing() {
    let source = house(&settings(guest_agent()), &[]);
    source.inlet.replace(dev(3600)).await;
    let identity = source.generation(1).await;
    let last = published(&Candidate {
        certificates_pem: identity.chain_pem().into_bytes().into(),
        private_key_pem: identity.private_key_pem().as_bytes().to_vec().into(),
        bundles: CandidateBundles::Parsed(identity.bundles().clone()),
    });
    let house = house(&dev(3600), &[last.path()]);
    house.trouble().await;
    house.generation(1).await;
    assert!(matches!(*house.inlet.jwt_svids.borrow(), JwtSvids::NotYet));
}
