//! Evidence of real sockets and processes. Clients of other users are this test program, started once more.
mod programs;

use super::*;
use crate::caller::testing::{Group, is_root};
use crate::caller::{Access, Metrics, OVERFLOW};
use crate::config::{AccessRule, CallerConditions, IdTokens, May, Who};
use nix::unistd::{Gid, Uid, getegid, geteuid, getgroups, setgid, setgroups, setuid};
use programs::{look_without_privilege, sleep};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};

const UID: u32 = 4242;
const GID: u32 = 4343;
const TEST: &str = "MWID_TEST_CLIENT";
const LONG: Duration = Duration::from_secs(20);

fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[tokio::test]
async fn a_unix_socket_tells_user_groups_and_process() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let evidence = Attestor::new().evidence(&Stream::Unix(ours)).unwrap();
    assert_eq!(evidence.uid(), geteuid().as_raw());
    assert_eq!(evidence.gid(), Some(getegid().as_raw()));
    assert_eq!(evidence.pid(), Some(me()));
    let groups = evidence.groups().unwrap();
    assert!(groups.contains(&getegid().as_raw()));
    for group in getgroups().unwrap() {
        assert!(groups.contains(&group.as_raw()));
    }
    assert_eq!(evidence.to_string(), format!("uid {} pid {}", geteuid(), me()));
    let own = std::env::current_exe().unwrap();
    assert!(evidence.runs(&own).unwrap());
    assert!(!evidence.runs(Path::new("/bin/sh")).unwrap());
    assert!(!evidence.runs(Path::new("/not/there")).unwrap());
    let digest = evidence.sha256().unwrap().unwrap();
    let whole = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &std::fs::read(&own).unwrap());
    assert_eq!(digest, whole.as_ref());
    let unit = evidence.unit().unwrap().map(str::to_owned);
    assert_eq!(
        unit.as_deref(),
        unit::in_proc_file(&std::fs::read("/proc/self/cgroup").unwrap())
    );
}

/// A process of this test program that connects, and lives until it is dropped.
struct Client(Child);

impl Client {
    /// `to`: `unix:PATH` or an address of TCP.
    fn start(to: &str, uid: u32, groups: &[u32], cgroup: Option<&Path>) -> Self {
        let joined: Vec<_> = groups.iter().map(u32::to_string).collect();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "caller::evidence::tests::in_a_process_of_its_own",
            ])
            .env(TEST, to)
            .env("MWID_TEST_UID", uid.to_string())
            .env("MWID_TEST_GROUPS", joined.join(","))
            .env("MWID_TEST_CGROUP", cgroup.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
#[ignore = "the client that the tests of other users start, in a process of its own"]
fn in_a_process_of_its_own() {
    let var = |name| std::env::var(name).unwrap_or_default();
    let to = var(TEST);
    if to.is_empty() {
        return;
    }
    if to == "look" {
        return look_without_privilege(var("MWID_TEST_PID").parse().unwrap());
    }
    let cgroup = var("MWID_TEST_CGROUP");
    if !cgroup.is_empty() {
        std::fs::write(
            Path::new(&cgroup).join("cgroup.procs"),
            std::process::id().to_string(),
        )
        .unwrap();
    }
    let groups: Vec<_> = var("MWID_TEST_GROUPS")
        .split(',')
        .filter_map(|group| group.parse().ok().map(Gid::from_raw))
        .collect();
    setgroups(&groups).unwrap();
    setgid(Gid::from_raw(GID)).unwrap();
    setuid(Uid::from_raw(var("MWID_TEST_UID").parse().unwrap())).unwrap();
    let mut end = [0];
    if let Some(path) = to.strip_prefix("hand on unix:") {
        let connection = std::os::unix::net::UnixStream::connect(path).unwrap();
        assert_eq!(std::io::stdin().read(&mut end).unwrap(), 0);
        // It ends when we close our end.
        let heir = Command::new("cat")
            .stdin(std::os::fd::OwnedFd::from(connection))
            .spawn();
        drop(heir.unwrap());
    } else if let Some(path) = to.strip_prefix("unix:") {
        let _connection = std::os::unix::net::UnixStream::connect(path).unwrap();
        assert_eq!(std::io::stdin().read(&mut end).unwrap(), 0);
    } else {
        let _connection = std::net::TcpStream::connect(&to).unwrap();
        assert_eq!(std::io::stdin().read(&mut end).unwrap(), 0);
    }
}

/// Where clients connect to.
enum Door {
    Unix(UnixListener, tempfile::TempDir),
    Tcp(TcpListener),
}

impl Door {
    fn unix() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let open =
            |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        open(directory.path());
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        open(&directory.path().join("s"));
        Self::Unix(listener, directory)
    }

    async fn tcp() -> Self {
        Self::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> String {
        match self {
            Self::Unix(_, directory) => format!("unix:{}", directory.path().join("s").display()),
            Self::Tcp(listener) => listener.local_addr().unwrap().to_string(),
        }
    }

    async fn accept(&self) -> Stream {
        let accepted = async {
            match self {
                Self::Unix(listener, _) => Stream::Unix(listener.accept().await.unwrap().0),
                Self::Tcp(listener) => Stream::Tcp(listener.accept().await.unwrap().0),
            }
        };
        tokio::time::timeout(LONG, accepted)
            .await
            .expect("no client came")
    }

    /// Of a system without systemd: control groups of a test are no units of this machine's.
    async fn evidence(&self) -> Result<Evidence, Denial> {
        attestor(Invocations::at("/not/there")).evidence(&self.accept().await)
    }
}

fn attestor(invocations: Invocations) -> Attestor {
    Attestor::with(OVERFLOW, OVERFLOW, invocations)
}

fn kind<T: fmt::Debug>(told: Result<T, Denial>) -> &'static str {
    told.unwrap_err().kind()
}

#[tokio::test]
async fn another_user_is_told_with_all_groups() {
    if !is_root() {
        return;
    }
    // More than one read of them takes, and the one that stands for nobody.
    let groups: Vec<u32> = (5000..5300).chain([65534]).collect();
    let door = Door::unix();
    let client = Client::start(&door.address(), UID, &groups, None);
    let evidence = door.evidence().await.unwrap();
    assert_eq!(
        (evidence.uid(), evidence.gid(), evidence.pid()),
        (UID, Some(GID), Some(client.pid()))
    );
    let all: Vec<u32> = [GID].into_iter().chain(5000..5300).collect();
    assert_eq!(evidence.groups(), Some(&all[..]));
    // We are root, who may see the program of another user.
    assert!(evidence.runs(&std::env::current_exe().unwrap()).unwrap());
    let few = Client::start(&door.address(), UID, &[], None);
    let evidence = door.evidence().await.unwrap();
    assert_eq!(
        (evidence.pid(), evidence.groups()),
        (Some(few.pid()), Some(&[GID][..]))
    );
}

#[tokio::test]
async fn another_user_is_told_on_tcp() {
    if !is_root() {
        return;
    }
    let door = Door::tcp().await;
    let _client = Client::start(&door.address(), UID, &[5], None);
    let evidence = door.evidence().await.unwrap();
    assert_eq!(evidence.uid(), UID);
    assert_eq!(
        (evidence.gid(), evidence.groups(), evidence.pid()),
        (None, None, None)
    );
    let own = std::env::current_exe().unwrap();
    assert_eq!(
        (evidence.runs(&own).unwrap(), evidence.sha256().unwrap()),
        (false, None)
    );
    assert_eq!(evidence.to_string(), format!("uid {UID}"));
    let _nobody = Client::start(&door.address(), 65534, &[], None);
    assert!(matches!(
        door.evidence().await,
        Err(Denial::SocketUid { uid: 65534 })
    ));
}

#[tokio::test]
async fn a_process_that_ended_has_neither_unit_nor_program() {
    if !is_root() {
        return;
    }
    let door = Door::unix();
    let mut client = Client::start(&door.address(), UID, &[], None);
    let met = door.evidence().await.unwrap();
    client.end();
    assert_eq!(
        (kind(met.unit()), kind(met.runs(&sleep())), kind(met.sha256())),
        ("ended", "ended", "ended")
    );
    assert_eq!(met.uid(), UID, "who it was when it connected is sure");
    // One that ended before it was met.
    let mut client = Client::start(&door.address(), UID, &[], None);
    let stream = door.accept().await;
    client.end();
    let met = Attestor::new().evidence(&stream).unwrap();
    assert_eq!(
        (met.uid(), met.pid(), kind(met.unit())),
        (UID, Some(client.pid()), "ended")
    );
    // What was looked up while it lived is kept until somebody sees the end.
    let mut client = Client::start(&door.address(), UID, &[], None);
    let met = door.evidence().await.unwrap();
    let unit = met.unit().unwrap().map(str::to_owned);
    client.end();
    assert_eq!(met.unit().unwrap(), unit.as_deref());
    met.life().look();
    assert_eq!((kind(met.unit()), kind(met.sha256())), ("ended", "ended"));
}

/// Its process hands its socket on and ends.
#[tokio::test]
async fn a_socket_that_is_handed_on_keeps_what_the_user_has_and_loses_what_the_program_had() {
    if !is_root() {
        return;
    }
    let rule = |exe, may| AccessRule {
        who: Who::Caller(Box::new(CallerConditions {
            uid: Some(UID),
            exe,
            ..CallerConditions::default()
        })),
        may,
    };
    let identity = May {
        identity: true,
        ..May::default()
    };
    let id_tokens = May {
        id_tokens: IdTokens::All,
        ..May::default()
    };
    let rules = [
        rule(Some(std::env::current_exe().unwrap()), identity),
        rule(None, id_tokens),
    ];
    let rules = Access::prepare(&rules, true).unwrap();
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let access = Access::new(rules, Metrics::default(), clock);
    let door = Door::unix();
    let mut client = Client::start(&format!("hand on {}", door.address()), UID, &[], None);
    let stream = door.accept().await;
    let (visitor, _) = access.meet(&stream, "test");
    let mut watch = visitor.watch();
    let grant = visitor.grant().unwrap();
    assert!(grant.identity && grant.id_tokens == IdTokens::All);
    drop(client.0.stdin.take());
    client.0.wait().unwrap();
    tokio::time::timeout(LONG, watch.changed())
        .await
        .expect("the end was not told");
    let Stream::Unix(stream) = stream else {
        unreachable!()
    };
    let mut byte = [0];
    let open = stream.try_read(&mut byte).unwrap_err();
    assert_eq!(
        open.kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody has it still"
    );
    let grant = visitor.grant().unwrap();
    assert!(!grant.identity && grant.id_tokens == IdTokens::All);
}

#[tokio::test]
async fn the_unit_is_told_on_both_transports() {
    for (name, path, unix, tcp) in [
        (
            "a",
            "payments.service",
            Some("payments.service"),
            Ok(Some("payments.service")),
        ),
        (
            "b",
            r"x\x2dy@1.service/evil.service",
            Some(r"x\x2dy@1.service"),
            Ok(Some(r"x\x2dy@1.service")),
        ),
        ("c", "web.scope/inner", Some("web.scope"), Ok(Some("web.scope"))),
        ("d", "user@1.service/payments.service", None, Err("no_unit")),
        ("e", "docker/payments.service", None, Err("no_unit")),
    ] {
        let Some(group) = Group::make(name, path) else {
            return;
        };
        let door = Door::unix();
        let client = Client::start(&door.address(), UID, &[], Some(group.path()));
        let evidence = door.evidence().await.unwrap();
        assert!(evidence.is_certain());
        assert_eq!(evidence.unit().unwrap(), unix, "{path}");
        let unit = unix.map_or(String::new(), |unit| format!(" unit {unit}"));
        assert_eq!(
            evidence.to_string(),
            format!("uid {UID} pid {}{unit}", client.pid())
        );
        let door = Door::tcp().await;
        let over_tcp = Client::start(&door.address(), UID, &[], Some(group.path()));
        let evidence = door.evidence().await.unwrap();
        assert_eq!(evidence.unit().map_err(|e| e.kind()), tcp, "{path}");
        drop((client, over_tcp));
    }
}

#[tokio::test]
async fn a_stop_of_its_unit_ends_what_was_proven_of_it_and_what_is_left_is_nobodys() {
    let Some(group) = Group::make("f", "payments.service") else {
        return;
    };
    let units = tempfile::tempdir().unwrap();
    let link = units.path().join("invocation:payments.service");
    std::os::unix::fs::symlink("1", &link).unwrap();
    let attestor = attestor(Invocations::at(units.path()));
    let unix = Door::unix();
    let tcp = Door::tcp().await;
    let clients = [&unix, &tcp].map(|door| Client::start(&door.address(), UID, &[], Some(group.path())));
    let streams = [unix.accept().await, tcp.accept().await];
    let met = streams
        .each_ref()
        .map(|stream| attestor.evidence(stream).unwrap());
    for evidence in &met {
        assert_eq!(evidence.unit().unwrap(), Some("payments.service"));
    }
    std::fs::remove_file(&link).unwrap();
    for evidence in &met {
        tokio::time::timeout(LONG, evidence.life().over())
            .await
            .expect("the stop was not told");
        assert!(matches!(evidence.unit(), Err(Denial::Stopped { unit }) if unit == "payments.service"));
        assert_eq!(evidence.uid(), UID);
    }
    // Also for one that is met now.
    let again = attestor.evidence(&streams[0]).unwrap();
    assert!(matches!(again.unit(), Err(Denial::Stopped { .. })));
    // And a new start does not bring back those of the old run: neither what was met of them, nor what is met now.
    std::os::unix::fs::symlink("2", &link).unwrap();
    assert_eq!(kind(met[0].unit()), "ended");
    let patience = Instant::now() + LONG;
    for stream in &streams {
        // Two starts within some hundredths of a second are not told apart.
        while attestor.evidence(stream).unwrap().unit().is_ok() {
            assert!(
                Instant::now() < patience,
                "what an earlier run left counts as the new one"
            );
            std::fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink("2", &link).unwrap();
        }
        let again = attestor.evidence(stream).unwrap();
        assert!(matches!(again.unit(), Err(Denial::Stopped { .. })));
    }
    // Who starts now is of the new run; on TCP, where the process is not known, once nobody is left of the old one.
    let new = [&unix, &tcp].map(|door| Client::start(&door.address(), UID, &[], Some(group.path())));
    let streams = [unix.accept().await, tcp.accept().await];
    let unit = |stream| {
        attestor
            .evidence(stream)
            .unwrap()
            .unit()
            .map(|u| u.map(str::to_owned))
    };
    let payments = Ok(Some("payments.service".to_owned()));
    assert_eq!(unit(&streams[0]).map_err(|e| e.kind()), payments);
    assert_eq!(unit(&streams[1]).map_err(|e| e.kind()), Err("ended"));
    drop(clients);
    assert_eq!(unit(&streams[1]).map_err(|e| e.kind()), payments);
    drop(new);
}

#[tokio::test]
#[ignore = "prints a measurement and judges nothing: .ci/run shows it"]
async fn what_evidence_costs() {
    const TIMES: u32 = 200;
    let attestor = Attestor::new();
    let (unix, _theirs) = UnixStream::pair().unwrap();
    let door = Door::tcp().await;
    let _client = std::net::TcpStream::connect(door.address()).unwrap();
    for (name, stream) in [("Unix", Stream::Unix(unix)), ("TCP", door.accept().await)] {
        // The best of some rounds: what a quiet machine needs.
        let time = |what: &str, work: &dyn Fn(&Evidence)| {
            let round = || {
                let started = Instant::now();
                for _ in 0..TIMES {
                    work(&attestor.evidence(&stream).unwrap());
                }
                started.elapsed() / TIMES
            };
            println!("{name}: {what}: {:?}", (0..50).map(|_| round()).min().unwrap());
        };
        time("evidence", &|_| ());
        time("evidence and unit", &|evidence| {
            drop(evidence.unit().map(drop));
        });
        time("evidence and program", &|evidence| {
            drop(evidence.runs(Path::new("/bin/sh")));
        });
        time("evidence and known digest", &|evidence| drop(evidence.sha256()));
    }
}
