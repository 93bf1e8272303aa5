//! Sockets at paths: modes, races, what is replaced and what is not.
use super::*;
use crate::http::listener::Accept as _;
use std::os::unix::net::UnixStream;

fn wanted(path: &Path) -> Wanted<'_> {
    Wanted {
        path,
        mode: 0o620,
        owner: None,
        group: None,
    }
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_socket_has_its_mode_when_it_appears_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let prepared = prepare(wanted(&path), None).unwrap();
    assert!(!path.exists(), "not before it is put in place");
    let [hidden] = &names(dir.path())[..] else {
        panic!()
    };
    let meta = std::fs::metadata(dir.path().join(hidden)).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o700, "until then nobody else can reach it");
    let inside = std::fs::metadata(dir.path().join(hidden).join("s")).unwrap();
    assert_eq!(inside.mode() & 0o7777, 0o620, "the mode is set before the rename");

    let listener = prepared.put_in_place().unwrap().keep();
    assert_eq!(names(dir.path()), ["admin.sock"]);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inside.ino());
    UnixStream::connect(&path).unwrap();
    drop(listener);
    assert!(names(dir.path()).is_empty(), "our socket goes with us");
}

#[tokio::test]
async fn a_prepared_socket_that_is_not_wanted_any_more_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    drop(prepare(wanted(&dir.path().join("admin.sock")), None).unwrap());
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn a_live_socket_is_not_taken_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let other = UnixListener::bind(&path).unwrap();
    let error = bind(wanted(&path)).unwrap_err();
    assert!(matches!(error, ListenError::Live { .. }), "{error}");
    let (_, _) = (other.accept().unwrap(), UnixStream::connect(&path).unwrap());
    other.accept().unwrap();
    assert_eq!(names(dir.path()), ["admin.sock"]);
}

#[tokio::test]
async fn a_socket_with_a_full_queue_counts_as_live() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let other = UnixListener::bind(&path).unwrap();
    listen(&other, Backlog::new(0).unwrap()).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    assert_eq!(knock(&path), Err(Errno::EAGAIN), "the queue is full");
    assert!(matches!(bind(wanted(&path)), Err(ListenError::Live { .. })));
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err(), "stale");
    let _listener = bind(wanted(&path)).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[tokio::test]
async fn our_own_live_socket_is_replaced_on_reload_and_the_old_one_does_not_remove_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let old = bind(wanted(&path)).unwrap();
    let new = Wanted {
        mode: 0o600,
        ..wanted(&path)
    };
    let new = prepare(new, old.place()).unwrap().put_in_place().unwrap().keep();
    drop(old);
    UnixStream::connect(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    drop(new);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_that_is_not_kept_gives_its_path_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    drop(prepare(wanted(&path), None).unwrap().put_in_place().unwrap());
    assert!(names(dir.path()).is_empty(), "there was nothing");
    // Also where the file system cannot let two names change places.
    for swap in [swap::swap, swap::by_link, swap::by_moving] {
        let mut old = bind(wanted(&path)).unwrap();
        let id = old.place();
        let new = prepare(wanted(&path), id).unwrap().put_by(swap).unwrap();
        assert_ne!(FileId::of(&path).ok(), id, "the new one is in its place");
        drop(new);
        assert_eq!(names(dir.path()), ["admin.sock"]);
        let _client = UnixStream::connect(&path).unwrap();
        let accepted = tokio::time::timeout(std::time::Duration::from_secs(30), old.accept());
        accepted.await.expect("it is not the old one's").unwrap();
        drop(old);
        assert!(
            names(dir.path()).is_empty(),
            "it is still the old one's to remove"
        );
    }
}

#[tokio::test]
async fn one_that_cannot_be_put_at_a_path_leaves_it_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (path, nothing) = (dir.path().join("admin.sock"), dir.path().join("none"));
    let old = bind(wanted(&path)).unwrap();
    for swap in [swap::swap, swap::by_link, swap::by_moving] {
        // What is to come there is not.
        assert!(swap(&nothing, &path).is_err());
        assert_eq!(FileId::of(&path).ok(), old.place());
        assert_eq!(names(dir.path()), ["admin.sock"]);
    }
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(wanted(&path)), Err(ListenError::NotASocket { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(bind(wanted(&link)), Err(ListenError::NotASocket { .. })));
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused_with_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a".repeat(MOST));
    let error = bind(wanted(&path)).unwrap_err();
    assert!(matches!(error, ListenError::TooLong { most: 107, .. }), "{error}");
    assert!(names(dir.path()).is_empty());
    let fits = dir
        .path()
        .join("a".repeat(MOST - dir.path().as_os_str().len() - 1));
    let _listener = bind(wanted(&fits)).unwrap();
    UnixStream::connect(&fits).unwrap();
}

#[tokio::test]
async fn owners_and_groups_that_do_not_exist_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let owner = Wanted {
        owner: Some("no-such-user"),
        ..wanted(&path)
    };
    assert!(matches!(bind(owner), Err(ListenError::NoUser { name, .. }) if name == "no-such-user"));
    let group = Wanted {
        group: Some("no-such-group"),
        ..wanted(&path)
    };
    assert!(matches!(bind(group), Err(ListenError::NoGroup { name, .. }) if name == "no-such-group"));
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn a_socket_is_given_to_its_owner_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    // Root can give it to anybody; everybody to itself.
    let (owner, group) = if Uid::effective().is_root() {
        ("4242".to_owned(), "4343".to_owned())
    } else {
        println!("not root: only giving the socket to ourselves is tried");
        (Uid::effective().to_string(), Gid::effective().to_string())
    };
    let _listener = bind(Wanted {
        owner: Some(&owner),
        group: Some(&group),
        ..wanted(&path)
    })
    .unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!((meta.uid().to_string(), meta.gid().to_string()), (owner, group));
}
