//! Digests are of the right file, and computed once.
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

/// A file that no test changes.
const OLD: &str = "/proc/self/exe";

fn whole(path: &Path) -> Vec<u8> {
    let whole = aws_lc_rs::digest::digest(&SHA256, &std::fs::read(path).unwrap());
    whole.as_ref().to_vec()
}

fn fresh(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn a_file_is_read_once_as_long_as_it_is_the_same() {
    let sh = Path::new("/bin/sh");
    let key = FileKey::of(sh).unwrap();
    let digests = Digests::default();
    let opened = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let digest = digests.get(key, || {
                    opened.fetch_add(1, Ordering::Relaxed);
                    File::open(sh)
                });
                assert_eq!(digest.unwrap().to_vec(), whole(sh));
            });
        }
    });
    assert_eq!(opened.into_inner(), 1);
}

#[test]
fn a_file_that_changed_just_now_is_read_again() {
    let file = fresh(b"one");
    let key = FileKey::of(file.path()).unwrap();
    let digests = Digests::default();
    assert_eq!(
        digests.get(key, || File::open(file.path())).unwrap().to_vec(),
        whole(file.path())
    );
    assert!(
        digests.state().known.is_empty(),
        "it may change once more without its times telling"
    );
    assert!(digests.state().reading.is_empty());
}

#[test]
fn a_file_that_changes_meanwhile_has_no_digest() {
    let file = fresh(b"one");
    let key = FileKey::of(file.path()).unwrap();
    let digests = Digests::default();
    let other = fresh(b"two");
    let changed = digests.get(key, || File::open(other.path()));
    assert!(matches!(changed, Err(DigestError::Changed)), "another file");
    std::fs::write(file.path(), b"longer").unwrap();
    let changed = digests.get(key, || File::open(file.path()));
    assert!(matches!(changed, Err(DigestError::Changed)));
    let missing = digests.get(key, || Err(io::ErrorKind::NotFound.into()));
    assert!(matches!(missing, Err(DigestError::Read(_))));
    assert!(digests.state().reading.is_empty());
}

#[test]
fn slow_files_keep_no_more_than_their_places() {
    let files: Vec<_> = (0..=MOST_READERS)
        .map(|n| fresh(&[u8::try_from(n).unwrap()]))
        .collect();
    let keys: Vec<_> = files
        .iter()
        .map(|file| FileKey::of(file.path()).unwrap())
        .collect();
    let digests = Digests::with_patience(Duration::ZERO);
    let (all_read, (end, wait)) = (Barrier::new(MOST_READERS + 1), mpsc::channel::<()>());
    let wait = Mutex::new(wait);
    std::thread::scope(|scope| {
        for (file, key) in files.iter().zip(&keys).take(MOST_READERS) {
            let (digests, all_read, wait) = (&digests, &all_read, &wait);
            scope.spawn(move || {
                let slow = || {
                    all_read.wait();
                    assert!(wait.lock().unwrap().recv().is_err(), "it ends when all may");
                    File::open(file.path())
                };
                digests.get(*key, slow).unwrap();
            });
        }
        all_read.wait();
        let one_more = digests.get(keys[MOST_READERS], || File::open(files[MOST_READERS].path()));
        let same_again = digests.get(keys[0], || File::open(files[0].path()));
        drop(end);
        assert!(matches!(one_more, Err(DigestError::Busy)));
        assert!(matches!(same_again, Err(DigestError::Busy)));
    });
    let later = digests.get(keys[MOST_READERS], || File::open(files[MOST_READERS].path()));
    assert!(later.is_ok(), "the places are free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_only_thread_goes_on_while_a_file_is_read() {
    let digests = Digests::default();
    let key = FileKey::of(Path::new(OLD)).unwrap();
    let (end, wait) = mpsc::channel();
    let read = tokio::spawn(async move {
        digests.get(key, || {
            wait.recv().unwrap();
            File::open(OLD)
        })
    });
    // Runs on the thread that the other task was given, which has lent it out.
    tokio::spawn(async move { end.send(()).unwrap() }).await.unwrap();
    assert_eq!(read.await.unwrap().unwrap().to_vec(), whole(Path::new(OLD)));
}
