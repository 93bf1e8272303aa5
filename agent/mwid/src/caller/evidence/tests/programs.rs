//! Which program a process runs, and when that cannot be told.
use super::*;

/// A process that runs this file, once it does.
fn run(program: &Path, command: &mut Command) -> Client {
    let client = Client(command.stdin(Stdio::piped()).spawn().unwrap());
    let link = format!("/proc/{}/exe", client.pid());
    let patience = Instant::now() + LONG;
    while std::fs::read_link(&link).ok().as_deref() != Some(program) {
        assert!(Instant::now() < patience, "{program:?} does not run");
        std::thread::yield_now();
    }
    client
}

fn of_number(pid: i32, uid: u32) -> Evidence {
    let of = Of::Process {
        process: Process::by_number(pid, uid),
        gid: None,
        groups: Box::default(),
    };
    Evidence::new(&attestor(Invocations::at("/not/there")), uid, of)
}

pub(super) fn sleep() -> PathBuf {
    Path::new("/bin/sleep").canonicalize().unwrap()
}

#[test]
fn a_process_by_its_number_is_weaker_and_must_be_of_its_user() {
    let mut client = run(&sleep(), Command::new(sleep()).arg("1000"));
    let (pid, uid) = (client.pid(), geteuid().as_raw());
    let evidence = of_number(pid, uid);
    assert!(!evidence.is_certain());
    assert!(evidence.unit().is_ok());
    assert!(evidence.runs(&sleep()).unwrap());
    assert!(evidence.to_string().ends_with("(by its number)"));
    let other = of_number(pid, uid + 1);
    let denial = other.unit().unwrap_err();
    assert!(
        matches!(denial, Denial::Replaced { now, .. } if now == uid),
        "{denial:?}"
    );
    assert_eq!(kind(other.runs(&sleep())), "ended");
    let later = of_number(pid, uid);
    client.end();
    assert_eq!(kind(later.unit()), "ended");
    assert_eq!(kind(of_number(pid, uid).unit()), "ended");
}

#[test]
fn a_program_that_was_removed_or_replaced_is_not_the_one_at_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().canonicalize().unwrap().join("payments");
    std::fs::copy(sleep(), &program).unwrap();
    let client = run(&program, Command::new(&program).arg("1000"));
    let look = || of_number(client.pid(), geteuid().as_raw());
    let before = look();
    assert!(before.runs(&program).unwrap());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    assert!(
        look().runs(&link).unwrap(),
        "links of the configured path are followed"
    );
    std::fs::remove_file(&program).unwrap();
    let denial = look().runs(&program).unwrap_err();
    assert!(matches!(&denial, Denial::OtherFile { path } if path.to_str().unwrap().ends_with(" (deleted)")));
    // Neither a file of the name that the kernel makes of it.
    let so_called = PathBuf::from(format!("{} (deleted)", program.display()));
    std::fs::copy(sleep(), &so_called).unwrap();
    assert!(!look().runs(&so_called).unwrap());
    std::fs::copy(sleep(), &program).unwrap();
    assert_eq!(kind(look().runs(&program)), "program");
    assert!(!look().runs(&sleep()).unwrap());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &std::fs::read(&program).unwrap());
    assert_eq!(
        look().sha256().unwrap().unwrap(),
        digest.as_ref(),
        "of the file that runs"
    );
    assert_eq!(
        kind(before.runs(&program)),
        "program",
        "also for one that was met before"
    );
}

/// Anybody can give its own program any path in a mount namespace of its own.
#[test]
fn a_path_of_another_mount_namespace_is_not_ours() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().canonicalize().unwrap().join("payments");
    std::fs::write(&program, "the real one").unwrap();
    let script = r#"mount --bind "$0" "$1" && exec "$1" 1000"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount"]);
    if !unshare.arg("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: no namespaces here");
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(sleep())
        .arg(&program);
    let client = run(&program, &mut unshare);
    let evidence = of_number(client.pid(), geteuid().as_raw());
    let denial = evidence.runs(&program).unwrap_err();
    assert!(
        matches!(&denial, Denial::OtherFile { path } if *path == program),
        "{denial:?}"
    );
}

/// What the daemon can see of another user's process without CAP_SYS_PTRACE.
pub(super) fn look_without_privilege(pid: i32) {
    setgroups(&[]).unwrap();
    setgid(Gid::from_raw(GID)).unwrap();
    setuid(Uid::from_raw(UID)).unwrap();
    see_a_process_of_root(pid);
}

fn see_a_process_of_root(pid: i32) {
    let evidence = of_number(pid, 0);
    assert!(evidence.unit().is_ok(), "the unit needs no privilege");
    assert!(matches!(evidence.runs(&sleep()), Err(Denial::NotPermitted { pid: told }) if told == pid));
    assert!(matches!(evidence.sha256(), Err(Denial::NotPermitted { .. })));
}

#[test]
fn without_the_capability_the_program_of_another_user_is_not_told() {
    if !geteuid().is_root() {
        return see_a_process_of_root(1);
    }
    let client = run(&sleep(), Command::new(sleep()).arg("1000"));
    let looked = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "caller::evidence::tests::in_a_process_of_its_own",
        ])
        .env(TEST, "look")
        .env("MWID_TEST_PID", client.pid().to_string())
        .output()
        .unwrap();
    assert!(
        looked.status.success(),
        "{}",
        String::from_utf8_lossy(&looked.stdout)
    );
}
