//! A root that is renewed while the identity below it stays the same.
use super::*;
use testkit::pki::Ca;

const MINUTE: i64 = 60;

#[tokio::test(start_paused = true)]
async fn the_newest_proof_says_when_an_identity_ends() {
    // The root ends in an hour; the same root, renewed, begins in half an hour and is in the bundle already.
    let root = Ca::root_valid(
        DOMAIN,
        Validity {
            from: -MINUTE,
            to: 60 * MINUTE,
        },
    );
    let renewed = root.renewed(Validity {
        from: 30 * MINUTE,
        to: 6000 * MINUTE,
    });
    let roots = format!("{}{}", root.cert_pem, renewed.cert_pem);
    let leaf = World {
        intermediate: root.intermediate(),
        root,
    }
    .leaf_of(&LeafSpec::new(ID));
    let delivered = || Candidate {
        certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
        private_key_pem: leaf.key_pem.clone().into_bytes().into(),
        bundles: CandidateBundles::OwnPem(roots.clone().into_bytes()),
    };
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(delivered()).await;
    let first = house.generation(1).await.not_after();
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    house.deliver(delivered()).await; // the poll: the same bytes
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert!(house.board.is_ready(), "{:?}", house.board.conditions());
    let now = house.generation(1).await;
    assert!(
        now.not_after().as_secs() > first.as_secs() + 3600,
        "the renewed root's end counts"
    );
}
