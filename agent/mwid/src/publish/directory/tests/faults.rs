//! Stops and errors at every single file-system call.

use super::*;
use crate::publish::error::PublishError;
use crate::publish::fs::RealFileSystem;
use crate::publish::fs::faulty::{Fault, Faulty};
use crate::report::Causes;
use rustix::io::Errno;
use std::collections::BTreeMap;

struct Round {
    dir: tempfile::TempDir,
    path: PathBuf,
    identities: Vec<Arc<IdentitySnapshot>>,
    faulty: Arc<Faulty>,
}

impl Round {
    /// With a generation in place, an older one to sweep, and a crash's leftovers.
    fn with_old(identities: &[Arc<IdentitySnapshot>]) -> Self {
        let round = Self::empty(identities);
        let real = directory(&round.path, OPEN, Arc::new(RealFileSystem));
        real.publish(&identities[0], now()).unwrap();
        real.publish(&identities[1], now()).unwrap();
        let half = round.path.with_file_name(".identity/00000099-00112233aabbccdd");
        std::fs::create_dir(&half).unwrap();
        std::fs::write(half.join("private_key.pem"), "cut").unwrap();
        std::os::unix::fs::symlink("gone", half.with_file_name("link-0011223344556677")).unwrap();
        round
    }

    fn empty(identities: &[Arc<IdentitySnapshot>]) -> Self {
        let dir = fast_directory();
        Self {
            path: dir.path().join("identity"),
            dir,
            identities: identities.to_vec(),
            faulty: Arc::new(Faulty::default()),
        }
    }

    fn spoiled(&self) -> Directory {
        // A group makes the calls include set_owner, also without root: it is the group we already have.
        let access = Access {
            gid: Some(rustix::process::getegid().as_raw()),
            ..OPEN
        };
        directory(&self.path, access, self.faulty.clone())
    }

    fn newest(&self) -> &Arc<IdentitySnapshot> {
        self.identities.last().unwrap()
    }

    /// A normal publish afterwards, as by a new process an hour later: the newest is shown and nothing else is left.
    fn heals(&self, what: &str) {
        let next = directory(&self.path, OPEN, Arc::new(RealFileSystem));
        let done = next.publish(self.newest(), later(3600)).unwrap();
        assert!(done.trouble.is_none(), "{what}: {:?}", done.trouble);
        next.sweep(later(7200)).unwrap();
        let shown = shown(&self.path, &self.identities).unwrap();
        assert_eq!(shown.generation(), self.newest().generation(), "{what}");
        assert_eq!(generations(&self.path).len(), 1, "{what}: leftovers");
        let parent: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().collect();
        assert_eq!(parent.len(), 2, "{what}: litter beside the link: {parent:?}");
    }
}

fn three() -> Vec<Arc<IdentitySnapshot>> {
    let mut identities = Identities::new();
    (0..3).map(|_| identities.next()).collect()
}

#[test]
fn stopped_at_any_call_the_directory_is_whole_and_the_next_publish_heals() {
    let identities = three();
    let mut stopped_at = BTreeMap::new();
    for (name, first) in [("over an old one", false), ("the first", true)] {
        for n in 1.. {
            let round = if first {
                Round::empty(&identities)
            } else {
                Round::with_old(&identities)
            };
            round.faulty.spoil(n, Fault::Stop);
            let victim = round.spoiled();
            let result = victim.publish(round.newest(), later(3600));
            drop(victim); // the killed process's lock is gone
            let what = format!("{name}, stopped at call {n} ({:?})", round.faulty.hit());
            match shown(&round.path, &round.identities) {
                Some(shown) if first => assert_eq!(shown.generation(), 3, "{what}"),
                Some(shown) => assert!(shown.generation() >= 2, "{what}"),
                None => assert!(first, "{what}: nothing is shown"),
            }
            round.heals(&what);
            match round.faulty.hit() {
                Some(call) => *stopped_at.entry(call).or_insert(0) += 1,
                None => {
                    assert!(result.is_ok(), "{what}: {result:?}");
                    break;
                }
            }
        }
    }
    println!("stopped at: {stopped_at:?}");
    for call in [
        "make_directory",
        "create_file",
        "write",
        "sync",
        "set_mode",
        "set_owner",
        "make_link",
        "rename",
    ] {
        assert!(stopped_at.contains_key(call), "{call} was never reached");
    }
}

#[test]
fn an_error_at_any_call_leaves_the_last_generation_whole_is_told_and_heals() {
    let identities = three();
    for errno in [Errno::NOSPC, Errno::ACCESS, Errno::ROFS, Errno::IO] {
        for fault in [Fault::Error(errno), Fault::Always(errno)] {
            for n in 1.. {
                let round = Round::with_old(&identities);
                round.faulty.spoil(n, fault);
                let victim = round.spoiled();
                let result = victim.publish(round.newest(), later(3600));
                let Some(call) = round.faulty.hit() else {
                    assert!(result.is_ok(), "{result:?}");
                    break;
                };
                let what = format!("{fault:?} at call {n} ({call})");
                let shown = shown(&round.path, &round.identities).expect(&what);
                assert!(shown.generation() >= 2, "{what}");
                match result {
                    Err(e) => is_told(&e, round.dir.path(), &what),
                    Ok(done) => {
                        assert_eq!(shown.generation(), 3, "{what}");
                        // Reading the old one may fail without harm: a new one is written. All else is told.
                        if let Some(e) = done.trouble {
                            is_told(&e, round.dir.path(), &what);
                        }
                    }
                }
                // The same process, once the disk is well again.
                round.faulty.heal();
                victim.publish(round.newest(), later(3600)).expect(&what);
                drop(victim);
                round.heals(&what);
            }
        }
    }
}

fn is_told(error: &PublishError, place: &Path, what: &str) {
    let text = Causes(error).to_string();
    let place = place.to_str().unwrap();
    assert!(text.contains(place), "{what}: no path in: {text}");
    assert!(text.contains('('), "{what}: no fix in: {text}");
    assert!(text.contains("os error"), "{what}: no cause in: {text}");
}

#[test]
fn a_disk_that_fails_is_named_with_path_and_fix() {
    let identities = three();
    let round = Round::with_old(&identities);
    let calls = {
        let directory = round.spoiled();
        directory.publish(round.newest(), later(3600)).unwrap();
        round.faulty.calls()
    };
    let round = Round::with_old(&identities);
    let write = calls.iter().position(|call| *call == "write").unwrap() as u64;
    round.faulty.spoil(write + 1, Fault::Always(Errno::NOSPC));
    let error = round.spoiled().publish(round.newest(), later(3600)).unwrap_err();
    let text = Causes(&error).to_string();
    assert!(text.starts_with("cannot write "), "{text}");
    assert!(text.contains("/.identity/00000003-"), "{text}");
    assert!(text.contains("free space or inodes"), "{text}");
    assert!(text.ends_with("No space left on device (os error 28)"), "{text}");
}

#[test]
fn everything_is_synced_before_the_switch_and_the_switch_after_it() {
    let identities = three();
    let round = Round::with_old(&identities);
    round.spoiled().publish(round.newest(), later(3600)).unwrap();
    let calls = round.faulty.calls();
    let writes: Vec<usize> = (0..calls.len()).filter(|n| calls[*n] == "write").collect();
    assert_eq!(
        writes.len(),
        expected(round.newest()).len() + 1,
        "each file and the manifest"
    );
    for n in &writes {
        assert_eq!(calls[n + 1], "sync", "after the write at call {n}");
    }
    let rename = calls.iter().position(|call| *call == "rename").unwrap();
    let after_last_write = &calls[writes.last().unwrap() + 2..rename];
    assert_eq!(
        after_last_write,
        ["set_mode", "sync", "touch", "make_link", "sync"]
    );
    assert_eq!(calls[rename + 1..], ["sync", "sync"]);
}

#[test]
fn what_a_failed_publish_left_behind_is_swept_by_the_same_process() {
    let identities = three();
    let round = Round::empty(&identities);
    let one = directory(&round.path, OPEN, round.faulty.clone());
    one.publish(&identities[0], now()).unwrap();
    // Stopped: it cannot even clean up after itself.
    round.faulty.spoil(u64::MAX, Fault::Stop);
    one.publish(&identities[1], now()).unwrap();
    let calls = round.faulty.calls();
    let first_write = calls.iter().position(|call| *call == "write").unwrap() as u64 + 1;
    round.faulty.spoil(first_write, Fault::Stop);
    one.publish(&identities[2], now()).unwrap_err();
    assert_eq!(generations(&round.path).len(), 3, "a leftover is there");
    round.faulty.heal();
    one.publish(&identities[2], later(1)).unwrap();
    // The current one, and two whose readers still have time.
    assert_eq!(generations(&round.path).len(), 3);
    assert!(
        generations(&round.path)
            .iter()
            .all(|path| path.join("private_key.pem").exists())
    );
    one.sweep(later(3600)).unwrap();
    assert_eq!(generations(&round.path).len(), 1);
}
