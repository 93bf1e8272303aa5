//! Numbers of control groups in a tree like the real one.
use super::*;

fn number(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_number_leads_to_its_unit() {
    let root = tempfile::tempdir().unwrap();
    let make = |path: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(&path).unwrap();
        number(&path)
    };
    let cgroups = Cgroups::mounted_at(root.path());
    let unit = |id| cgroups.unit(id).map_err(|e| e.kind());
    let found = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(unit(number(root.path())), Ok(None), "in no unit");
    let payments = make("system.slice/payments.service");
    assert_eq!(unit(payments), found("payments.service"));
    assert_eq!(
        unit(make("system.slice/payments.service/evil.service/deep")),
        found("payments.service")
    );
    assert_eq!(
        unit(make("system.slice/system-x.slice/x@1.service")),
        found("x@1.service")
    );
    assert_eq!(unit(make("init.scope")), found("init.scope"));
    assert_eq!(unit(make("user.slice/user-1.slice")), Ok(None));
    assert_eq!(unit(make("docker")), Ok(None));
    // A user's own groups, and those of other managers, are not even looked at.
    assert_eq!(unit(make("user.slice/user-1.slice/user@1.service")), Ok(None));
    assert_eq!(
        unit(make("user.slice/user-1.slice/user@1.service/payments.service")),
        Err("no_unit")
    );
    assert_eq!(unit(make("docker/1/payments.service")), Err("no_unit"));
    fs::write(root.path().join("system.slice/file.service"), "").unwrap();
    assert_eq!(
        unit(number(&root.path().join("system.slice/file.service"))),
        Err("no_unit")
    );
    // Remembered, but looked at again: the directory has another number now.
    let path = root.path().join("system.slice/payments.service");
    fs::rename(&path, root.path().join("system.slice/other.service")).unwrap();
    make("system.slice/payments.service");
    assert_eq!(unit(payments), found("other.service"));
}

#[test]
fn what_was_searched_for_in_vain_is_not_searched_for_again() {
    let root = tempfile::tempdir().unwrap();
    let cgroups = Cgroups::mounted_at(root.path());
    let outside = tempfile::tempdir().unwrap();
    let id = number(outside.path());
    assert!(matches!(cgroups.unit(id), Err(Denial::Cgroup { id: told }) if told == id));
    fs::rename(outside.path(), root.path().join("late.service")).unwrap();
    assert!(cgroups.unit(id).is_err());
    for id in 0..2 * MOST_KNOWN as u64 {
        drop(cgroups.unit(u64::MAX - id));
    }
    assert!(cgroups.known.lock().unwrap().len() <= MOST_KNOWN);
    assert_eq!(cgroups.unit(id).unwrap().as_deref(), Some("late.service"));
}

#[test]
fn a_search_ends() {
    let root = tempfile::tempdir().unwrap();
    for n in 0..MOST_OPENED {
        fs::create_dir(root.path().join(format!("{n}.slice"))).unwrap();
    }
    let hidden = root.path().join("0.slice/a.slice/b.service");
    fs::create_dir_all(&hidden).unwrap();
    let cgroups = Cgroups::mounted_at(root.path());
    assert!(
        cgroups.unit(number(&hidden)).is_err(),
        "it comes after {MOST_OPENED} others"
    );
}
