//! Torn reads: many generations under readers in tight loops.

use super::*;
use crate::publish::fs::RealFileSystem;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const GENERATIONS: usize = 20_000;
const IDENTITIES: usize = 128;
/// Readers that run further ahead than this leave the processor to the publisher: what tears is switches, not reads.
const ROUNDS_A_GENERATION: u64 = 8;

/// Leaf to key to bundle, by whole file contents.
struct Known {
    key_of: HashMap<Vec<u8>, Vec<u8>>,
    haproxy: HashMap<Vec<u8>, ()>,
    credential: HashMap<Vec<u8>, ()>,
    ca: Vec<u8>,
    /// The shortest that each file ever is.
    shortest: HashMap<String, usize>,
}

impl Known {
    fn of(identities: &[Arc<IdentitySnapshot>]) -> Self {
        let mut known = Self {
            key_of: HashMap::new(),
            haproxy: HashMap::new(),
            credential: HashMap::new(),
            ca: Vec::new(),
            shortest: HashMap::new(),
        };
        for identity in identities {
            let files: HashMap<_, _> = expected(identity).into_iter().collect();
            for (name, content) in &files {
                let shortest = known.shortest.entry(name.clone()).or_insert(usize::MAX);
                *shortest = content.len().min(*shortest);
            }
            let file = |name: &str| files[name].clone();
            known
                .key_of
                .insert(file("certificates.pem"), file("private_key.pem"));
            known.haproxy.insert(file("haproxy.pem"), ());
            known
                .credential
                .insert(file("credential-bundle.private-key.x509.pem"), ());
            known.ca = file("ca_certificates.pem");
        }
        known
    }
}

type Read = fn(&Path, &Known);

fn one_file_reader(path: &Path, known: &Known) {
    let bundle = std::fs::read(path.join("credential-bundle.private-key.x509.pem")).unwrap();
    assert!(known.credential.contains_key(&bundle), "torn credential bundle");
    let haproxy = std::fs::read(path.join("haproxy.pem")).unwrap();
    assert!(known.haproxy.contains_key(&haproxy), "torn haproxy.pem");
}

fn openat_reader(path: &Path, known: &Known) {
    use rustix::fs::{Mode, OFlags, open, openat};
    let dir = open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let read = |name: &str| {
        let file = openat(&dir, name, OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut bytes).unwrap();
        bytes
    };
    let chain = read("certificates.pem");
    std::thread::yield_now(); // give a switch the chance to come between
    let key = read("private_key.pem");
    assert_eq!(known.key_of.get(&chain), Some(&key), "key of another generation");
    assert_eq!(read("ca_certificates.pem"), known.ca);
}

fn by_name_reader(path: &Path, known: &Known) {
    for (name, shortest) in &known.shortest {
        let bytes = std::fs::read(path.join(name)).unwrap();
        assert!(bytes.len() >= *shortest, "{name} is short: {}", bytes.len());
    }
}

#[test]
fn readers_never_see_a_torn_generation_over_20_000_publishes() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let mut source = Identities::new();
    let identities: Vec<_> = (0..IDENTITIES).map(|_| source.next()).collect();
    let known = Known::of(&identities);
    let publisher = directory(&path, OPEN, Arc::new(RealFileSystem));
    let start = now();
    publisher.publish(&identities[0], start).unwrap();
    let stop = AtomicBool::new(false);
    let readers: [(&str, Read); 3] = [
        ("one file", one_file_reader),
        ("openat", openat_reader),
        ("by name", by_name_reader),
    ];
    let counts = [const { AtomicU64::new(0) }; 3];
    let published = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for ((_, read), count) in readers.iter().zip(&counts) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Raised also when a reader fails, so that the publisher ends at once.
                    let _guard = OnPanic(&stop);
                    read(&path, &known);
                    let rounds = count.fetch_add(1, Ordering::Relaxed);
                    if rounds > ROUNDS_A_GENERATION * published.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_micros(100));
                    }
                }
            });
        }
        for n in 1..=GENERATIONS {
            if stop.load(Ordering::Relaxed) {
                break; // a reader has failed; joining it tells how
            }
            // A time lapse, but slow enough for a reader that the scheduler holds up: 1200 old ones are there.
            let now = Moment {
                wall: start.wall,
                instant: start.instant + Duration::from_millis(50 * n as u64),
            };
            let done = publisher.publish(&identities[n % IDENTITIES], now).unwrap();
            assert!(done.switched && done.trouble.is_none(), "{done:?}");
            published.fetch_add(1, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
    });
    for ((name, _), count) in readers.iter().zip(&counts) {
        let count = count.load(Ordering::Relaxed);
        println!("{GENERATIONS} generations, reader `{name}`: {count} rounds");
        assert!(count > 1000, "the reader `{name}` hardly ran");
    }
    assert!(generations(&path).len() <= 1202, "old generations pile up");
}

struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
