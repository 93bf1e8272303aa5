//! Commands and signals, with real processes.

use super::*;
use crate::config::{Reaction, SignalTarget};
use crate::publish::testing::TestUnits;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};

fn trigger() -> Trigger {
    Trigger {
        generation: 12,
        spiffe_id: "spiffe://example.org/ns/shop/sa/web".to_owned(),
    }
}

async fn carry_out(reaction: Reaction) -> Result<(), ReactionError> {
    let action = Action::new(reaction)?;
    let path = Path::new("/run/mwid/identity");
    action.carry_out(path, &trigger(), &TestUnits::default()).await
}

fn run(command: &[&str], timeout: Duration) -> Reaction {
    Reaction::Run {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        timeout,
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_command_gets_its_arguments_and_a_small_environment() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let script = "/usr/bin/env > \"$0\"; pwd >> \"$0\"; echo \"args:$1:$2\" >> \"$0\"";
    let command = ["/bin/sh", "-c", script, out.to_str().unwrap(), "a b", "$HOME"];
    carry_out(run(&command, LONG)).await.unwrap();
    let text = fs::read_to_string(&out).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let own = ["PWD=/", "OLDPWD=", "SHLVL=", "_="]; // the shell's
    lines.retain(|line| !own.iter().any(|own| line.starts_with(own)));
    assert_eq!(
        lines,
        [
            "/",
            "LANG=C.UTF-8",
            "MWID_DIRECTORY=/run/mwid/identity",
            "MWID_GENERATION=12",
            "MWID_SPIFFE_ID=spiffe://example.org/ns/shop/sa/web",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "args:a b:$HOME",
        ]
    );
}

#[tokio::test]
async fn an_exit_code_a_signal_and_a_missing_program_are_told() {
    let text = |e: ReactionError| Causes(&e).to_string();
    let failed = carry_out(run(&["/bin/sh", "-c", "echo oops >&2; exit 3"], LONG)).await;
    assert!(text(failed.unwrap_err()).starts_with("/bin/sh ended with exit status: 3"));
    let killed = carry_out(run(&["/bin/sh", "-c", "kill -TERM $$"], LONG)).await;
    assert!(text(killed.unwrap_err()).contains("signal: 15"));
    let missing = text(carry_out(run(&["/no/such/program"], LONG)).await.unwrap_err());
    assert!(
        missing.starts_with("cannot start /no/such/program: No such file"),
        "{missing}"
    );
}

/// Whether a process is there and not just waiting to be reaped by whoever adopted it.
fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn gone(pid: &str) {
    let start = std::time::Instant::now();
    while is_running(pid) {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "process {pid} lives on"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn at_the_time_limit_the_whole_group_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pids");
    let script = "sleep 1000 & echo $! > \"$0.new\"; echo $$ >> \"$0.new\"; mv \"$0.new\" \"$0\"; wait";
    let command = ["/bin/sh", "-c", script, out.to_str().unwrap()];
    let error = carry_out(run(&command, Duration::from_secs(2)))
        .await
        .unwrap_err();
    assert!(matches!(error, ReactionError::Timeout { .. }), "{error}");
    let pids = fs::read_to_string(&out).expect("the command ran within two seconds");
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_kills_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pid");
    let script = "echo $$ > \"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 1000";
    let reaction = run(&["/bin/sh", "-c", script, out.to_str().unwrap()], LONG);
    let task = tokio::spawn(carry_out(reaction));
    let start = std::time::Instant::now();
    while !out.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the command never started"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = fs::read_to_string(&out).unwrap().trim().to_owned();
    assert!(is_running(&pid));
    task.abort();
    gone(&pid).await;
}

#[tokio::test]
async fn a_flood_of_output_does_not_hold_the_command_up() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890; i=$((i+1)); done";
    carry_out(run(&["/bin/sh", "-c", script], LONG)).await.unwrap();
}

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn pid_file(dir: &Path, pid: u32) -> PathBuf {
    let file = dir.join("daemon.pid");
    fs::write(&file, format!("{pid}\n")).unwrap();
    file
}

async fn signal(file: PathBuf) -> Result<(), ReactionError> {
    carry_out(Reaction::Signal {
        signal: "SIGUSR1".to_owned(),
        of: SignalTarget::PidFile(file),
    })
    .await
}

#[tokio::test]
async fn the_process_of_a_pid_file_is_signalled() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = sleeper();
    signal(pid_file(dir.path(), child.id())).await.unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(10));
    // Reaped: now the file is stale.
    let error = signal(dir.path().join("daemon.pid")).await.unwrap_err();
    assert!(
        Causes(&error).to_string().contains("a stale pid file?"),
        "{}",
        Causes(&error)
    );
}

#[tokio::test]
async fn no_pid_file_and_mwid_itself_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = signal(dir.path().join("none")).await.unwrap_err();
    assert!(matches!(error, ReactionError::PidFile { .. }), "{error}");
    let error = signal(pid_file(dir.path(), std::process::id()))
        .await
        .unwrap_err();
    assert!(matches!(error, ReactionError::BadPid { .. }), "{error}");
    let error = signal(pid_file(dir.path(), 1)).await.unwrap_err();
    assert!(matches!(error, ReactionError::BadPid { .. }), "{error}");
}

#[tokio::test]
async fn a_pid_file_of_a_third_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving a file to another user needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = sleeper();
    let file = pid_file(dir.path(), child.id());
    std::os::unix::fs::chown(&file, Some(4001), None).unwrap();
    let error = signal(file).await.unwrap_err();
    assert!(matches!(error, ReactionError::PidFileOwner { .. }), "{error}");
    assert!(child.try_wait().unwrap().is_none(), "it was signalled");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_command_may_write_cores_although_mwid_does_not() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    if maximum == Some(0) {
        println!("skipped: the hard limit forbids cores here");
        return;
    }
    // As mwid itself does at its start; nothing else in these tests writes cores.
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum,
        },
    )
    .unwrap();
    // The limit is set from outside, just after the start.
    let script = "while [ \"$(ulimit -c)\" = 0 ]; do sleep 0.02; done";
    carry_out(run(&["/bin/sh", "-c", script], Duration::from_secs(10)))
        .await
        .unwrap();
}
