//! Generations grow by one, and no reader misses or is woken for nothing.
use super::*;
use crate::candidate::{Candidate, CandidateBundles};
use crate::check::Prover;
use pki_types::UnixTime;
use std::time::{Duration, SystemTime};
use testkit::pki::{Ca, Leaf, Validity, World};

struct Source {
    world: World,
    prover: Prover,
    now: UnixTime,
}

impl Source {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "testkit makes certificates for now")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self {
            world: World::new("example.org"),
            prover: Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider())),
            now: UnixTime::since_unix_epoch(now),
        }
    }

    fn identity(&self, leaf: &Leaf, roots: &str) -> IdentitySnapshot {
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
            private_key_pem: leaf.key_pem.clone().into_bytes().into(),
            bundles: CandidateBundles::OwnPem(roots.as_bytes().to_vec()),
        };
        self.prover.prove(&candidate, self.now).unwrap()
    }

    fn next(&self) -> IdentitySnapshot {
        self.identity(&self.world.leaf("/a"), &self.world.root.cert_pem)
    }
}

/// Whether a wait is still pending after everything that could end it has happened.
async fn waits(reader: &mut Reader) -> bool {
    tokio::time::timeout(Duration::from_secs(3600), reader.changed())
        .await
        .is_err()
}

#[test]
fn each_identity_that_differs_is_one_generation() {
    let source = Source::new();
    let (mut writer, reader) = store();
    assert_eq!((reader.generation(), reader.current().is_none()), (0, true));
    let leaf = source.world.leaf("/a");
    let roots = &source.world.root.cert_pem;
    for (identity, generation) in [
        (source.identity(&leaf, roots), 1),
        (source.identity(&leaf, roots), 1),
        (source.identity(&leaf, &format!("\n{roots}{roots}")), 1),
        (source.identity(&source.world.leaf("/a"), roots), 2),
        (source.identity(&leaf, roots), 3),
        (
            source.identity(&leaf, &format!("{roots}{}", World::new("x").root.cert_pem)),
            4,
        ),
    ] {
        let before = reader.generation();
        match writer.publish(identity) {
            Published::New(published) => {
                assert_eq!(published.generation(), generation);
                assert_eq!(before + 1, generation);
                assert!(Arc::ptr_eq(&published, &reader.current().unwrap()));
            }
            Published::Unchanged => assert_eq!(before, generation),
            Published::Retimed(same) => panic!("{same:?} was proven at the same time"),
        }
        assert_eq!(reader.generation(), generation);
    }
}

#[test]
fn a_restart_counts_on_and_never_back() {
    let source = Source::new();
    let (writer, reader) = store();
    let mut writer = writer.starting_after(41).starting_after(7);
    assert_eq!(reader.generation(), 0, "nothing is published yet");
    writer.publish(source.next());
    assert_eq!(reader.generation(), 42);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_before_the_first_wait_is_not_missed() {
    let source = Source::new();
    let (mut writer, mut reader) = store();
    writer.publish(source.next());
    let mut late = reader.clone();
    assert_eq!(reader.changed().await.unwrap().generation(), 1);
    assert_eq!(
        late.changed().await.unwrap().generation(),
        1,
        "a clone has its own memory"
    );
    assert!(waits(&mut reader).await);

    let read_first = reader.current().unwrap().generation();
    writer.publish(source.next());
    assert_eq!(reader.changed().await.unwrap().generation(), read_first + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_identity_wakes_nobody() {
    let source = Source::new();
    let (mut writer, mut reader) = store();
    let leaf = source.world.leaf("/a");
    let roots = &source.world.root.cert_pem;
    writer.publish(source.identity(&leaf, roots));
    reader.changed().await.unwrap();
    for _ in 0..3 {
        assert!(matches!(
            writer.publish(source.identity(&leaf, roots)),
            Published::Unchanged
        ));
    }
    assert!(waits(&mut reader).await);
}

/// The first proof reaches a root that ends soon; at the second, its successor with the same key has begun.
#[tokio::test(start_paused = true)]
async fn a_proof_that_holds_longer_is_seen_and_wakes_nobody() {
    let mut source = Source::new();
    let day = 24 * 3600;
    let root = Ca::root_valid("example.org", Validity { from: -day, to: 3600 });
    let renewed = root.renewed(Validity {
        from: 600,
        to: 99 * day,
    });
    let roots = format!("{}{}", root.cert_pem, renewed.cert_pem);
    let intermediate = root.intermediate();
    source.world = World { root, intermediate };
    let leaf = source.world.leaf("/a");
    let (mut writer, mut reader) = store();
    writer.publish(source.identity(&leaf, &roots));
    let first = reader.changed().await.unwrap();
    source.now = UnixTime::since_unix_epoch(Duration::from_secs(source.now.as_secs() + 1800));
    let Published::Retimed(longer) = writer.publish(source.identity(&leaf, &roots)) else {
        panic!("the later proof is lost");
    };
    assert!(first.not_after() < longer.not_after());
    assert_eq!(longer.generation(), 1);
    assert!(Arc::ptr_eq(&longer, &reader.current().unwrap()));
    assert!(matches!(
        writer.publish(source.identity(&leaf, &roots)),
        Published::Unchanged
    ));
    assert!(waits(&mut reader).await);
    writer.publish(source.next());
    assert_eq!(reader.changed().await.unwrap().generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_is_woken_and_a_cancelled_wait_loses_nothing() {
    let source = Source::new();
    let (mut writer, mut reader) = store();
    assert!(waits(&mut reader).await, "cancelled by its timeout");
    let mut other = reader.clone();
    let waiting = tokio::spawn(async move { other.changed().await.map(|identity| identity.generation()) });
    tokio::task::yield_now().await;
    writer.publish(source.next());
    assert_eq!(waiting.await.unwrap(), Some(1));
    assert_eq!(reader.changed().await.unwrap().generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_identity_is_seen_before_the_end_is_told() {
    let source = Source::new();
    let (mut writer, mut reader) = store();
    writer.publish(source.next());
    drop(writer);
    assert_eq!(reader.changed().await.unwrap().generation(), 1);
    assert!(reader.changed().await.is_none());
    assert_eq!(reader.generation(), 1, "the last good identity stays readable");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_switches_is_woken_when_the_identity_is_taken_away_too() {
    let source = Source::new();
    let (mut writer, mut reader) = store();
    writer.publish(source.next());
    assert!(reader.switched().await);
    assert_eq!(reader.generation(), 1);
    assert!(waits(&mut reader).await, "both waits share their memory");
    writer.clear();
    assert!(reader.switched().await && reader.current().is_none());
    writer.publish(source.next());
    writer.publish(source.next());
    assert!(reader.switched().await);
    assert_eq!(reader.generation(), 3, "two in a row are one");
    drop(writer);
    assert!(!reader.switched().await);
}
