//! Each way in which a directory appears, changes or goes gives a hint at once; nothing else does.
use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use testkit::guest_agent::{Agent, Secrets};

const NEVER: Duration = Duration::from_secs(86_400);
/// Generous: what is measured is printed, what fails is a hint that never comes.
const LONG: Option<Duration> = Some(Duration::from_secs(10));
const SHORT: Option<Duration> = Some(Duration::from_millis(150));

struct Site {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

fn site() -> Site {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    Site { _dir: dir, root }
}

/// A watch without a poll whose first hint is taken.
fn watch(path: &Path) -> Watch {
    let mut watch = Watch::new(path, NEVER);
    assert_eq!(watch.wait(None), Hint::Changed);
    assert!(watch.trouble().is_none(), "{:?}", watch.trouble());
    watch
}

/// Does something and expects the hint; then everything that belongs to it has been taken in.
fn hinted(watch: &mut Watch, what: &str, act: impl FnOnce()) {
    act();
    let start = Instant::now();
    assert_eq!(watch.wait(LONG), Hint::Changed, "{what}");
    println!("{what}: hint after {:?}", start.elapsed());
    while watch.wait(Some(Duration::from_millis(50))) == Hint::Changed {}
}

fn silent(watch: &mut Watch, what: &str, act: impl FnOnce()) {
    act();
    assert_eq!(watch.wait(SHORT), Hint::Limit, "{what}");
}

#[test]
fn the_parent_is_not_there_yet() {
    let site = site();
    let parent = site.root.join("run/secrets");
    let mut watch = watch(&Secrets::new(&parent).link());
    hinted(&mut watch, "first ancestor", || {
        fs::create_dir(site.root.join("run")).unwrap();
    });
    hinted(&mut watch, "parent", || fs::create_dir(&parent).unwrap());
    hinted(&mut watch, "link", || {
        Secrets::new(&parent).replace(Agent::Current, &[("a", b"b")]);
    });
}

#[test]
fn everything_at_once_below_a_missing_parent() {
    let site = site();
    let parent = site.root.join("run/secrets");
    let mut watch = watch(&parent.join("link"));
    hinted(&mut watch, "mkdir -p and link", || {
        fs::create_dir_all(&parent).unwrap();
        fs::create_dir(parent.join("contents")).unwrap();
        symlink("contents", parent.join("link")).unwrap();
    });
    hinted(&mut watch, "a file in it", || {
        fs::write(parent.join("link/private_key.pem"), "k").unwrap();
    });
}

#[test]
fn both_agents_replace_the_link_again_and_again() {
    for agent in [Agent::Legacy, Agent::Current] {
        let site = site();
        let mut secrets = Secrets::new(&site.root);
        let mut watch = watch(&secrets.link());
        for n in 0..5 {
            hinted(&mut watch, &format!("{agent:?} {n}"), || {
                secrets.replace(agent, &[("a", b"b")]);
            });
        }
    }
}

#[test]
fn a_directory_that_is_still_being_filled() {
    let site = site();
    fs::create_dir(site.root.join("contents")).unwrap();
    let link = site.root.join("link");
    let mut watch = watch(&link);
    hinted(&mut watch, "link to an empty directory", || {
        symlink("contents", &link).unwrap();
    });
    for name in ["certificates.pem", "private_key.pem"] {
        hinted(&mut watch, name, || {
            fs::write(site.root.join("contents").join(name), "x").unwrap();
        });
    }
}

#[test]
fn a_link_that_dangles_and_heals() {
    let site = site();
    let (contents, link) = (site.root.join("contents"), site.root.join("link"));
    fs::create_dir(&contents).unwrap();
    symlink(&contents, &link).unwrap();
    let mut watch = watch(&link);
    for _ in 0..2 {
        hinted(&mut watch, "target removed", || {
            fs::remove_dir(&contents).unwrap();
        });
        hinted(&mut watch, "target there again", || {
            fs::create_dir(&contents).unwrap();
        });
        hinted(&mut watch, "file in the new target", || {
            fs::write(contents.join("a"), "x").unwrap();
            fs::remove_file(contents.join("a")).unwrap();
        });
    }
}

#[test]
fn a_parent_that_is_removed_or_renamed_and_comes_back() {
    let site = site();
    let parent = site.root.join("secrets");
    fs::create_dir(&parent).unwrap();
    let mut watch = watch(&Secrets::new(&parent).link());
    hinted(&mut watch, "parent removed", || fs::remove_dir(&parent).unwrap());
    hinted(&mut watch, "parent there again", || {
        fs::create_dir(&parent).unwrap();
    });
    hinted(&mut watch, "parent renamed", || {
        fs::rename(&parent, site.root.join("old")).unwrap();
    });
    hinted(&mut watch, "another parent", || fs::create_dir(&parent).unwrap());
    hinted(&mut watch, "link", || {
        Secrets::new(&parent).replace(Agent::Legacy, &[("a", b"b")]);
    });
    fs::create_dir(site.root.join("old/workload-spiffe-credentials")).unwrap();
    assert_eq!(
        watch.wait(SHORT),
        Hint::Limit,
        "the renamed parent no longer counts"
    );
}

#[test]
fn a_directory_replaced_by_one_of_its_name_and_number() {
    let site = site();
    let directory = site.root.join("contents");
    fs::create_dir(&directory).unwrap();
    let mut watch = watch(&directory);
    // File systems give the number of a deleted directory to the next one; the watch has gone with the first.
    for _ in 0..10 {
        hinted(&mut watch, "removed and made again", || {
            fs::remove_dir_all(&directory).unwrap();
            fs::create_dir(&directory).unwrap();
        });
        hinted(&mut watch, "a file in the new one", || {
            fs::write(directory.join("a"), "x").unwrap();
        });
    }
}

#[test]
fn directories_that_appear_while_the_watches_are_set() {
    for round in 0..40 {
        let site = site();
        let directory = site.root.join("a/b/c/d");
        let mut watch = watch(&directory);
        let deep = directory.clone();
        let maker = std::thread::spawn(move || {
            for ancestor in deep.ancestors().take(4).collect::<Vec<_>>().iter().rev() {
                fs::create_dir(ancestor).unwrap();
                // Lets the watch run between two directories, each time a little later.
                (0..round * 50).for_each(|n| _ = std::hint::black_box(n));
            }
        });
        while watch.wait(Some(Duration::from_millis(20))) == Hint::Changed || !maker.is_finished() {}
        maker.join().unwrap();
        while watch.wait(Some(Duration::from_millis(1))) == Hint::Changed {}
        fs::write(directory.join("a"), "x").unwrap();
        assert_eq!(watch.wait(LONG), Hint::Changed, "round {round}");
    }
}

#[test]
fn a_mount_over_the_directory_is_watched_from_the_next_poll_on() {
    let site = site();
    let mounted = site.root.join("mounted");
    fs::create_dir(&mounted).unwrap();
    let mut watch = Watch::new(&mounted, Duration::from_millis(20));
    watch.wait(None);
    let mount = |args: &[&str]| {
        let tool = std::process::Command::new(args[0])
            .args(&args[1..])
            .arg(&mounted)
            .output();
        tool.is_ok_and(|o| o.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "none"]) {
        println!("skipped: this user may not mount");
        return;
    }
    let take_polls = |watch: &mut Watch| {
        while watch.wait(LONG) != Hint::Poll {}
        watch.next_poll = after(NEVER);
    };
    take_polls(&mut watch);
    hinted(&mut watch, "in the mount", || {
        fs::write(mounted.join("a"), "x").unwrap();
    });
    assert!(mount(&["umount"]));
    watch.next_poll = after(Duration::ZERO);
    take_polls(&mut watch);
    hinted(&mut watch, "below it again", || {
        fs::write(mounted.join("a"), "x").unwrap();
    });
}

#[test]
fn files_rewritten_in_place() {
    let site = site();
    let file = site.root.join("certificates.pem");
    fs::write(&file, "one").unwrap();
    let mut watch = watch(&site.root);
    hinted(&mut watch, "rewritten", || fs::write(&file, "two").unwrap());
    hinted(&mut watch, "renamed over", || {
        fs::write(site.root.join("tmp"), "three").unwrap();
        fs::rename(site.root.join("tmp"), &file).unwrap();
    });
}

#[test]
fn kubernetes_switches_its_data_link() {
    let site = site();
    let switch = |n: u32| {
        fs::create_dir(site.root.join(format!("..{n}"))).unwrap();
        symlink(format!("..{n}"), site.root.join("..data_tmp")).unwrap();
        fs::rename(site.root.join("..data_tmp"), site.root.join("..data")).unwrap();
    };
    switch(1);
    let mut watch = watch(&site.root);
    for n in 2..5 {
        hinted(&mut watch, "..data", || switch(n));
    }
    hinted(&mut watch, "file in the newest data", || {
        fs::write(site.root.join("..4/a"), "x").unwrap();
    });
}

#[test]
fn reading_gives_no_hint() {
    let site = site();
    let mut secrets = Secrets::new(&site.root);
    secrets.replace(
        Agent::Legacy,
        &[("certificates.pem", b"c"), ("private_key.pem", b"k")],
    );
    let mut watch = watch(&secrets.link());
    silent(&mut watch, "a read", || {
        fs::read(secrets.link().join("certificates.pem")).unwrap();
        fs::read_dir(secrets.link()).unwrap().count();
        let _fault = super::super::read(secrets.link());
    });
}

#[test]
fn neighbours_of_the_link_give_no_hint() {
    let site = site();
    let mut watch = watch(&site.root.join("link"));
    silent(&mut watch, "a neighbour", || {
        fs::write(site.root.join("other"), "x").unwrap();
    });
}

#[test]
fn the_poll_comes_without_any_event() {
    let site = site();
    let mut watch = Watch::new(site.root.join("link"), Duration::from_millis(20));
    assert_eq!(watch.wait(None), Hint::Changed);
    for _ in 0..3 {
        assert_eq!(watch.wait(LONG), Hint::Poll);
    }
}

#[test]
fn the_caller_s_limit_comes_before_the_poll() {
    let site = site();
    let mut watch = watch(&site.root);
    assert_eq!(watch.wait(Some(Duration::from_millis(1))), Hint::Limit);
}

#[test]
fn a_poll_sets_watches_that_were_lost() {
    let site = site();
    let link = site.root.join("link");
    let mut watch = Watch::new(&link, Duration::from_millis(20));
    watch.wait(None);
    // As after a mount over the directory: the watch is gone and nothing said so.
    watch.armed.forget_all();
    assert_eq!(watch.wait(LONG), Hint::Poll);
    watch.next_poll = after(NEVER);
    hinted(&mut watch, "after the poll", || fs::create_dir(&link).unwrap());
}

#[test]
fn an_overflow_of_the_queue_is_a_hint() {
    use notify::EventHandler;
    let site = site();
    let mut watch = watch(&site.root.join("link"));
    let rescan = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
    watch.events.handle_event(Ok(rescan));
    assert_eq!(watch.wait(LONG), Hint::Changed);
    for n in 0..2 * MOST_EVENTS {
        let event = notify::Event::new(EventKind::Other).add_path(PathBuf::from(format!("/x/{n}")));
        watch.events.handle_event(Ok(event));
    }
    assert_eq!(watch.wait(LONG), Hint::Changed);
    assert_eq!(watch.wait(SHORT), Hint::Limit);
    hinted(&mut watch, "after overflows", || {
        fs::create_dir(site.root.join("link")).unwrap();
    });
}

#[test]
fn stopping_wakes_a_waiting_watch() {
    let site = site();
    let mut watch = watch(&site.root);
    let stopper = watch.stopper();
    let waiting = std::thread::spawn(move || watch.wait(None));
    stopper.stop();
    assert_eq!(waiting.join().unwrap(), Hint::Stopped);
}
