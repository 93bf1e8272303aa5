//! The door over a real socket. Clients in other control groups, and of other users, are this test program, started once more.
use super::*;
use crate::caller::testing::{Group, is_root};
use crate::config::{AccessRule, CallerConditions, May, Who};
use crate::http::listener::unix::{Wanted, bind};
use crate::publish::testing::{Identities, TestClock};
use crate::telemetry;
use nix::libc;
use nix::sys::socket::{AddressFamily, Shutdown as Half, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{bind as name, connect, shutdown, socket};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

const TEST: &str = "MWID_TEST_UNIT";
const PAYMENTS: &str = "payments.service";
const LONG: Duration = Duration::from_secs(20);

/// A client of the socket, as systemd's is.
fn fetch(socket_path: &Path, called: Option<&str>) -> Vec<u8> {
    let client = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    if let Some(called) = called {
        name(
            client.as_raw_fd(),
            &UnixAddr::new_abstract(called.as_bytes()).unwrap(),
        )
        .unwrap();
    }
    connect(client.as_raw_fd(), &UnixAddr::new(socket_path).unwrap()).unwrap();
    shutdown(client.as_raw_fd(), Half::Write).unwrap();
    let mut got = vec![];
    // As systemd does: what is too much is not read to its end.
    let limit = 1024 * 1024 + 1;
    StdStream::from(client).take(limit).read_to_end(&mut got).unwrap();
    got
}

#[test]
#[ignore = "the client that the tests of units start, in a process of its own"]
fn in_a_process_of_its_own() {
    let var = |name| std::env::var(name).unwrap_or_default();
    let group = var(TEST);
    if group.is_empty() {
        return;
    }
    std::fs::write(
        Path::new(&group).join("cgroup.procs"),
        std::process::id().to_string(),
    )
    .unwrap();
    let uid = var("MWID_TEST_UID").parse().unwrap();
    nix::unistd::setuid(nix::unistd::Uid::from_raw(uid)).unwrap();
    let mut control = StdStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let socket = PathBuf::from(var("MWID_TEST_SOCKET"));
    for called in BufReader::new(control.try_clone().unwrap()).lines() {
        let got = fetch(&socket, Some(&called.unwrap()));
        control
            .write_all(&u32::try_from(got.len()).unwrap().to_be_bytes())
            .unwrap();
        control.write_all(&got).unwrap();
    }
}

/// As systemd calls itself. The names are the machine's: no two tests may have one.
fn called(unit: &str, credential: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{number:08x}/unit/{unit}/{credential}", std::process::id())
}

/// A process of a unit.
struct Client {
    child: Child,
    control: UnixStream,
}

impl Client {
    fn start(house: &House, group: &Group, uid: u32) -> Self {
        let command = Command::new(std::env::current_exe().unwrap());
        Self::by(command, house, group, uid)
    }

    /// In a user namespace in which root is the machine's root; none where there can be no such.
    fn nested(house: &House, group: &Group) -> Option<Self> {
        let unshare = || {
            let mut unshare = Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--"]);
            unshare
        };
        let tried = unshare().arg("true").status();
        if !tried.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = unshare();
        command.arg(std::env::current_exe().unwrap());
        Some(Self::by(command, house, group, 0))
    }

    fn by(mut command: Command, house: &House, group: &Group, uid: u32) -> Self {
        let (ours, theirs) = StdStream::pair().unwrap();
        let child = command
            .args([
                "--ignored",
                "--exact",
                "api::credential::tests::in_a_process_of_its_own",
            ])
            .env(TEST, group.path())
            .env("MWID_TEST_UID", uid.to_string())
            .env("MWID_TEST_SOCKET", &house.socket)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        ours.set_nonblocking(true).unwrap();
        Self {
            child,
            control: UnixStream::from_std(ours).unwrap(),
        }
    }

    async fn asks(&mut self, called: &str) {
        self.control
            .write_all(format!("{called}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn gets(&mut self) -> Got {
        let read = async {
            let mut got = vec![0; self.control.read_u32().await.unwrap() as usize];
            self.control.read_exact(&mut got).await.unwrap();
            got
        };
        Got::of(tokio::time::timeout(LONG, read).await.expect("no answer"))
    }

    async fn fetches(&mut self, unit: &str, credential: &str) -> Got {
        self.asks(&called(unit, credential)).await;
        self.gets().await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Got {
    File(String),
    /// More than systemd takes: the reason that it begins with.
    Refused(String),
}

impl Got {
    fn of(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        if text.len() <= 1024 * 1024 {
            return Self::File(text);
        }
        assert!(!text.contains("-----BEGIN"), "a refusal holds no key");
        Self::Refused(text.lines().next().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn is_refused(&self, why: &str) {
        assert!(
            matches!(self, Self::Refused(text) if text.contains(why)),
            "{self:.300?}"
        );
    }
}

struct House {
    identities: Identities,
    access: Access,
    registry: prometheus_client::registry::Registry,
    socket: PathBuf,
    shutdown: Shutdown,
    units: tempfile::TempDir,
    _directory: tempfile::TempDir,
}

fn unit_rule(unit: &str, uid: Option<u32>) -> AccessRule {
    AccessRule {
        who: Who::Caller(Box::new(CallerConditions {
            unit: Some(unit.to_owned()),
            uid,
            ..CallerConditions::default()
        })),
        may: May {
            identity: true,
            ..May::default()
        },
    }
}

impl House {
    fn new(rules: &[AccessRule]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let socket = directory.path().join("credential.sock");
        let listener = bind(Wanted {
            path: &socket,
            mode: 0o666,
            owner: None,
            group: None,
        });
        let identities = Identities::new();
        let clock = TestClock::new();
        let mut registry = prometheus_client::registry::Registry::with_prefix("mwid");
        let metrics = Metrics::default();
        metrics.register(&mut registry);
        let rules = Access::prepare(rules, true).unwrap();
        // Whatever systemd runs on this machine, it knows of no unit of the test's.
        let units = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("1", units.path().join(format!("invocation:{PAYMENTS}"))).unwrap();
        let metrics_of_callers = crate::caller::Metrics::default();
        let access = Access::with_units_at(units.path(), rules, metrics_of_callers, clock.clone());
        let server = Server::new(Inputs {
            access: access.clone(),
            identity: identities.reader.clone(),
            clock,
            metrics,
        });
        let shutdown = Shutdown::default();
        server.start(listener.unwrap(), &shutdown);
        Self {
            identities,
            access,
            registry,
            socket,
            shutdown,
            units,
            _directory: directory,
        }
    }

    /// From this process, which is in no unit of the test's.
    async fn fetch(&self, called: Option<&'static str>) -> Got {
        let socket = self.socket.clone();
        let fetched = tokio::task::spawn_blocking(move || fetch(&socket, called)).await;
        Got::of(fetched.unwrap())
    }

    #[track_caller]
    fn counted(&self, outcome: &str, times: u64) {
        let line = format!("mwid_credential_requests_total{{outcome=\"{outcome}\"}} {times}\n");
        let patience = std::time::Instant::now() + LONG;
        loop {
            let dialect = telemetry::metrics::Dialect::Prometheus;
            let text = telemetry::metrics::text(&self.registry, dialect).unwrap();
            if text.contains(&line) {
                return;
            }
            // It is counted after the client has it.
            assert!(std::time::Instant::now() < patience, "{line}{text}");
            std::thread::yield_now();
        }
    }
}

/// A unit of the test, where there can be one.
fn group(name: &str) -> Option<Group> {
    Group::make(name, PAYMENTS)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_the_service_manager_of_that_unit_gets_nothing_whatever_it_calls_itself() {
    let everyone = AccessRule {
        who: Who::Everyone,
        ..unit_rule(PAYMENTS, None)
    };
    let mut house = House::new(&[everyone, unit_rule(PAYMENTS, None)]);
    house.identities.next();
    for called in [
        None,
        Some("mwid-test/unit/payments.service/private_key.pem"),
        Some("f528bc1b4e1e88a7/unit/payments.service"),
        Some("f528bc1b4e1e88a7/unit/payments.socket/private_key.pem"),
    ] {
        house
            .fetch(called)
            .await
            .is_refused("has not the address that systemd gives");
    }
    house.counted("wrong_address", 4);
    let forged = Some("a528bc1b4e1e88a7/unit/payments.service/private_key.pem");
    let why = if nix::unistd::geteuid().is_root() {
        "you ask for a credential of payments.service, and are in"
    } else {
        "credentials are for root's service manager alone"
    };
    house.fetch(forged).await.is_refused(why);
    house.counted("unattested", 1);
    assert_eq!(house.access.status().grants, 0);
    assert!(house.shutdown.stop(LONG).await);
}

/// As root the test has connections of another user, as whom one of its threads connects.
#[tokio::test(flavor = "multi_thread")]
async fn others_than_root_have_few_places_and_none_of_its_own() {
    if !is_root() {
        println!("skipped: only root can be two users");
        return;
    }
    let house = House::new(&[unit_rule(PAYMENTS, None)]);
    let socket = house.socket.clone();
    let connects = move || {
        // SAFETY: the call takes numbers, and changes this thread's user alone.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, 4242, 4242, 4242) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        [(); door::OTHERS + 3].map(|()| StdStream::connect(&socket).unwrap())
    };
    // They read nothing, so that those who are answered stay.
    let mut open = std::thread::spawn(connects).join().unwrap();
    for late in &mut open[door::OTHERS..] {
        late.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(late.read(&mut [0; 1]).unwrap(), 0, "closed without a word");
    }
    house.counted("crowded", 3);
    house.fetch(None).await.is_refused("has not the address");
    let recent = house.access.status().recent;
    assert!(
        recent
            .iter()
            .any(|line| line.listener == "credential" && !line.granted),
        "{recent:?}"
    );
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_gets_the_published_files_by_a_rule_on_it_and_by_nothing_else() {
    let Some(group) = group("g") else {
        return;
    };
    let mut house = House::new(&[unit_rule(PAYMENTS, None)]);
    let identity = house.identities.next();
    let mut unit = Client::start(&house, &group, 0);
    for (credential, wanted) in [
        ("private_key.pem", identity.private_key_pem().to_string()),
        ("certificates.pem", identity.chain_pem()),
        ("trust_bundles.json", identity.bundles().to_map_json()),
    ] {
        assert_eq!(unit.fetches(PAYMENTS, credential).await, Got::File(wanted));
    }
    let Got::File(pair) = unit.fetches(PAYMENTS, "haproxy.pem").await else {
        panic!("the pair in one file");
    };
    assert!(pair.contains("PRIVATE KEY") && pair.contains("CERTIFICATE"));
    house.counted("given", 4);
    let no_file = "mwid has no file of this name";
    unit.fetches(PAYMENTS, "mwid.yaml").await.is_refused(no_file);
    unit.fetches(PAYMENTS, "other.org.bundle.json")
        .await
        .is_refused(no_file);
    // In the name of another unit.
    house
        .access
        .replace(Access::prepare(&[unit_rule("other.service", None)], true).unwrap());
    let other = unit.fetches("other.service", "private_key.pem").await;
    other.is_refused("are in payments.service");
    let denied = "no access rule grants this unit the identity";
    unit.fetches(PAYMENTS, "private_key.pem").await.is_refused(denied);
    // Neither what root may counts, nor a rule that wants more than the unit.
    house
        .access
        .replace(Access::prepare(&[unit_rule(PAYMENTS, Some(0))], true).unwrap());
    unit.fetches(PAYMENTS, "private_key.pem").await.is_refused(denied);
    house.counted("denied", 2);
    // A process of the unit that is not root, as the unit's own are.
    house
        .access
        .replace(Access::prepare(&[unit_rule(PAYMENTS, None)], true).unwrap());
    let mut own = Client::start(&house, &group, 4242);
    let refused = own.fetches(PAYMENTS, "private_key.pem").await;
    refused.is_refused("credentials are for root's service manager alone");
    assert!(is_root());
    // A unit that is stopped starts nothing.
    std::fs::remove_file(house.units.path().join(format!("invocation:{PAYMENTS}"))).unwrap();
    let mut late = Client::start(&house, &group, 0);
    let refused = late.fetches(PAYMENTS, "private_key.pem").await;
    refused.is_refused("was stopped or started anew");
}

/// Everything that proves the manager but its user namespace: there a 0 of its own is mapped to the machine's.
#[tokio::test(flavor = "multi_thread")]
async fn root_of_another_user_namespace_is_not_the_service_manager() {
    let Some(group) = group("n") else {
        return;
    };
    let mut house = House::new(&[unit_rule(PAYMENTS, None)]);
    house.identities.next();
    let Some(mut nested) = Client::nested(&house, &group) else {
        println!("skipped: unshare (util-linux) cannot make a user namespace here");
        return;
    };
    let refused = nested.fetches(PAYMENTS, "private_key.pem").await;
    refused.is_refused("you are root in a user namespace of your own");
    house.counted("unattested", 1);
    let mut manager = Client::start(&house, &group, 0);
    let given = manager.fetches(PAYMENTS, "private_key.pem").await;
    assert!(matches!(given, Got::File(_)), "{given:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_the_first_identity_and_has_one_generation_over_a_rotation() {
    let Some(group) = group("h") else {
        return;
    };
    let mut house = House::new(&[unit_rule(PAYMENTS, None)]);
    let mut unit = Client::start(&house, &group, 0);
    unit.asks(&called(PAYMENTS, "private_key.pem")).await;
    let early = tokio::time::timeout(Duration::from_millis(300), unit.control.readable()).await;
    assert!(early.is_err(), "answered without an identity");
    let first = house.identities.next();
    assert_eq!(unit.gets().await, Got::File(first.private_key_pem().to_string()));
    let second = house.identities.next();
    let chain = unit.fetches(PAYMENTS, "certificates.pem").await;
    assert_eq!(
        chain,
        Got::File(first.chain_pem()),
        "of the same process: the pair"
    );
    let mut next = Client::start(&house, &group, 0);
    let chain = next.fetches(PAYMENTS, "certificates.pem").await;
    assert_eq!(chain, Got::File(second.chain_pem()), "of the next: the newest");
    // What a caller may not have is told at once, and a loss while it waits too.
    house.identities.clear();
    let mut late = Client::start(&house, &group, 0);
    late.asks(&called(PAYMENTS, "private_key.pem")).await;
    let early = tokio::time::timeout(Duration::from_millis(300), late.control.readable()).await;
    assert!(early.is_err(), "answered without an identity");
    house.access.replace(Access::prepare(&[], true).unwrap());
    late.gets().await.is_refused("no access rule grants this unit");
}

/// One thread makes files, and the test holds it up.
#[test]
fn what_changes_while_the_file_is_made_counts() {
    let Some(group) = group("w") else {
        return;
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(1).enable_all();
    runtime.build().unwrap().block_on(async {
        let mut house = House::new(&[unit_rule(PAYMENTS, None)]);
        house.identities.next();
        for (is_denied, why) in [
            (false, "it was taken away"),
            (true, "no access rule grants this unit"),
        ] {
            let mut unit = Client::start(&house, &group, 0);
            let (go_on, wait) = std::sync::mpsc::channel::<()>();
            let held_up = tokio::task::spawn_blocking(move || wait.recv().is_err());
            unit.asks(&called(PAYMENTS, "private_key.pem")).await;
            let mut answer = std::pin::pin!(unit.gets());
            let early = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
            assert!(early.is_err(), "answered without a file");
            if is_denied {
                house.access.replace(Access::prepare(&[], true).unwrap());
            } else {
                house.identities.clear();
            }
            drop(go_on);
            assert!(held_up.await.unwrap());
            answer.await.is_refused(why);
            house.identities.next();
        }
    });
}
