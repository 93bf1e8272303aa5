//! From the agent's directory to the store, with the real threads: what changes is in force within milliseconds.
use crate::config::{IdentitySettings, SourceSettings};
use crate::health::Board;
use crate::shutdown::Shutdown;
use crate::source::{Context, Inlet, Metrics, start};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::guest_agent::{Agent, Secrets};
use testkit::pki::World;

const DOMAIN: &str = "pool.global.123.workload.id.goog";
const PATIENCE: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_secs(86_400);

type Files = Vec<(&'static str, Vec<u8>)>;

struct House {
    _dir: tempfile::TempDir,
    root: PathBuf,
    world: World,
    board: Board,
    shutdown: Shutdown,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    House {
        _dir: dir,
        root,
        world: World::new(DOMAIN),
        board: Board::new(),
        shutdown: Shutdown::default(),
    }
}

impl House {
    fn files(&self) -> Files {
        let leaf = self.world.leaf("/ns/shop/sa/payments");
        vec![
            (
                "config_status",
                br#"{"partnerMetadataConfigsErrors": {}}"#.to_vec(),
            ),
            ("certificates.pem", leaf.chain_pem.into_bytes()),
            ("private_key.pem", leaf.key_pem.into_bytes()),
            (
                "ca_certificates.pem",
                self.world.root.cert_pem.clone().into_bytes(),
            ),
        ]
    }

    fn start(&self, directory: &Path, restore_from: &[&Path]) -> Inlet {
        let settings = IdentitySettings {
            source: SourceSettings::GuestAgent {
                directory: directory.to_owned(),
                poll: NEVER,
            },
            expect: None,
        };
        start(
            &settings,
            Context {
                clock: Arc::new(rustls::time_provider::DefaultTimeProvider),
                server: crate::metadata::Server::of(&crate::metadata::Environment::default(), &[]).0,
                provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
                board: &self.board,
                metrics: Metrics::default(),
                restore_from: restore_from.iter().map(|p| p.to_path_buf()).collect(),
                starting_after: 0,
                shutdown: self.shutdown.clone(),
            },
        )
    }

    async fn ready(&self) {
        let mut parts = self.board.subscribe();
        while !self.board.is_ready() {
            tokio::time::timeout(PATIENCE, parts.changed())
                .await
                .unwrap()
                .unwrap();
        }
    }
}

async fn reaches(inlet: &Inlet, generation: u64) {
    let mut reader = inlet.reader.clone();
    while reader.generation() < generation {
        let next = tokio::time::timeout(PATIENCE, reader.changed()).await;
        assert!(next.is_ok(), "{:?}", inlet.status.borrow());
    }
    assert_eq!(reader.generation(), generation);
}

fn written(files: &Files) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect()
}

#[tokio::test]
async fn ready_soon_after_the_start_with_a_good_directory() {
    let house = house();
    let mut secrets = Secrets::new(&house.root);
    secrets.replace(Agent::Legacy, &written(&house.files()));
    let begun = Instant::now();
    let inlet = house.start(&secrets.link(), &[]);
    reaches(&inlet, 1).await;
    house.ready().await;
    println!("ready {:?} after the start", begun.elapsed());
    assert!(house.shutdown.stop(PATIENCE).await);
}

#[tokio::test]
async fn each_swap_of_both_agents_is_in_force_in_milliseconds() {
    let house = house();
    let mut secrets = Secrets::new(&house.root);
    let inlet = house.start(&secrets.link(), &[]);
    let mut times = Vec::new();
    for generation in 1..=60 {
        let agent = if generation % 2 == 0 {
            Agent::Legacy
        } else {
            Agent::Current
        };
        let files = house.files();
        secrets.replace(agent, &written(&files));
        let switched = Instant::now();
        reaches(&inlet, generation).await;
        times.push(switched.elapsed());
    }
    times.sort();
    println!(
        "link switched to identity in force: p50 {:?}, p99 {:?}",
        times[30], times[59]
    );
    assert!(house.shutdown.stop(PATIENCE).await);
}

#[tokio::test]
async fn a_restart_with_a_dangling_link_serves_what_was_published() {
    let house = house();
    let mut secrets = Secrets::new(&house.root);
    secrets.replace(Agent::Legacy, &written(&house.files()));
    fs::remove_dir_all(fs::read_link(secrets.link()).unwrap()).unwrap();
    let published = house.root.join("published");
    fs::create_dir(&published).unwrap();
    for (name, bytes) in house.files() {
        fs::write(published.join(name), bytes).unwrap();
    }
    let inlet = house.start(&secrets.link(), &[&published]);
    reaches(&inlet, 1).await;
    house.ready().await;
    let status = inlet.status.borrow().clone();
    assert_eq!(status.restored_from, Some(published));
    assert!(status.trouble.unwrap().text.contains("points at"));
    // The agent recovers.
    secrets.replace(Agent::Current, &written(&house.files()));
    reaches(&inlet, 2).await;
    assert!(house.shutdown.stop(PATIENCE).await);
}

#[tokio::test]
async fn a_platform_that_issues_nothing_is_quoted() {
    let house = house();
    let mut secrets = Secrets::new(&house.root);
    let status: &[u8] = br#"{"partnerMetadataConfigsErrors": {"ca_pool": "permission denied"}}"#;
    secrets.replace(Agent::Current, &[("config_status", status)]);
    let inlet = house.start(&secrets.link(), &[]);
    let mut seen = inlet.status.clone();
    let quoted = seen.wait_for(|s| {
        s.trouble
            .as_ref()
            .is_some_and(|t| t.text.contains("permission denied"))
    });
    assert!(
        tokio::time::timeout(PATIENCE, quoted).await.is_ok(),
        "{:?}",
        inlet.status.borrow()
    );
    assert!(!house.board.is_ready());
    // Beside a good identity it is a warning, and the identity is used.
    let mut files = house.files();
    files[0].1 = status.to_vec();
    secrets.replace(Agent::Current, &written(&files));
    reaches(&inlet, 1).await;
    house.ready().await;
    let warned = seen.wait_for(|s| {
        s.trouble
            .as_ref()
            .is_some_and(|t| t.text.contains("next rotation"))
    });
    assert!(
        tokio::time::timeout(PATIENCE, warned).await.is_ok(),
        "{:?}",
        inlet.status.borrow()
    );
    assert!(house.shutdown.stop(PATIENCE).await);
}

#[tokio::test]
async fn another_directory_after_a_reload() {
    let house = house();
    let (first, second) = (house.root.join("first"), house.root.join("second"));
    for directory in [&first, &second] {
        fs::create_dir(directory).unwrap();
        for (name, bytes) in house.files() {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }
    let inlet = house.start(&first, &[]);
    reaches(&inlet, 1).await;
    let settings = IdentitySettings {
        source: SourceSettings::GuestAgent {
            directory: second.clone(),
            poll: NEVER,
        },
        expect: None,
    };
    inlet.replace(settings).await;
    reaches(&inlet, 2).await;
    // The first directory is no longer watched.
    for (name, bytes) in house.files() {
        fs::write(first.join(name), bytes).unwrap();
    }
    for (name, bytes) in house.files() {
        fs::write(second.join(name), bytes).unwrap();
    }
    reaches(&inlet, 3).await;
    assert_eq!(inlet.status.borrow().from, Some(second.display().to_string()));
    assert!(house.shutdown.stop(PATIENCE).await);
}
