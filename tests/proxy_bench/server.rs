//! The processes: the daemon, the floor and the application behind both, each ended (by its own id) when dropped. Proxies are on the first processor,
//! whoever loads them is on the second.
use crate::daemon::{Daemon, Place, mwid};
use crate::{application, floor};
use nix::sys::socket::Backlog;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::guest_agent::Agent;
use testkit::pki::Leaf;

/// As many may wait to be accepted.
const QUEUE: i32 = 4096;
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    kind: Kind,
}

enum Kind {
    Mwid(Box<Daemon>),
    Floor(Process, tempfile::TempDir),
}

/// One of ours.
pub(crate) struct Process(Child);

/// A port that was free a moment ago.
fn port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn listen(at: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(at).unwrap();
    nix::sys::socket::listen(&listener, Backlog::new(QUEUE).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn can_pin() -> bool {
    let processors = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    let taskset = Command::new("taskset")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    processors && taskset.is_ok_and(|s| s.success())
}

/// Where there are two processors, this process and what it starts stay on the second from now on, but for what [`pinned`] starts.
pub(crate) fn pin_load() -> bool {
    let can = can_pin();
    if can {
        let pid = std::process::id().to_string();
        let done = Command::new("taskset")
            .args(["-pc", "1", &pid])
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "taskset");
    }
    can
}

/// The same command on the first processor.
fn pinned(command: &Command, pin: bool) -> Command {
    let mut on_first = match pin {
        true => {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", "0"]).arg(command.get_program());
            taskset
        }
        false => Command::new(command.get_program()),
    };
    on_first.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => on_first.env(name, value),
            None => on_first.env_remove(name),
        };
    }
    on_first
}

fn ourselves(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).stdin(Stdio::null());
    command
}

impl Process {
    fn start(mut command: Command, listens: SocketAddr) -> Self {
        let mut process = Self(command.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(listens).is_err() {
            assert!(process.0.try_wait().unwrap().is_none(), "{command:?} ended");
            assert!(began.elapsed() < PATIENCE, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }

    /// The application behind the proxies, and where it is.
    pub(crate) fn application() -> (Self, SocketAddr) {
        let at = port();
        let command = ourselves(&[application::ARGUMENT, &at.to_string()]);
        (Self::start(command, at), at)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Server {
    /// The daemon with an identity in the guest agent's way and one inbound route. Policy, limits, metrics and log are as they are by default.
    pub(crate) fn mwid(place: &mut Place, to: SocketAddr, pin: bool) -> Self {
        let address = port();
        let config = place.config(&format!(
            "proxy:\n  inbound:\n  - {{ name: bench, listen: \"{address}\", forward: \"{to}\", allow: [\"spiffe://{}/**\"], max_connections: 20000 }}",
            place.world.root.trust_domain
        ));
        place.deliver_good();
        let mut command = mwid();
        command.args(["run", "--config"]).arg(config);
        let mut daemon = place.start_as(&mut pinned(&command, pin));
        daemon.wait_ready();
        Self {
            name: "mwid",
            address,
            kind: Kind::Mwid(Box::new(daemon)),
        }
    }

    pub(crate) fn floor(place: &Place, to: SocketAddr, pin: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let leaf = place.world.leaf(crate::daemon::PATH);
        let contents = [&leaf.chain_pem, &leaf.key_pem, &place.world.root.cert_pem];
        for (name, text) in floor::FILES.iter().zip(contents) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let address = port();
        let path = folder.path().to_str().unwrap();
        let command = ourselves(&[floor::ARGUMENT, &address.to_string(), &to.to_string(), path]);
        Self {
            name: floor::NAME,
            address,
            kind: Kind::Floor(Process::start(pinned(&command, pin), address), folder),
        }
    }

    fn pid(&self) -> i32 {
        match &self.kind {
            Kind::Mwid(daemon) => daemon.pid(),
            Kind::Floor(process, _) => i32::try_from(process.0.id()).unwrap(),
        }
    }

    /// CPU time of the process so far.
    pub(crate) fn cpu(&self) -> Duration {
        let clock = clock_getcpuclockid(Pid::from_raw(self.pid())).unwrap();
        clock_gettime(clock).unwrap().into()
    }

    /// Memory that is the process's alone, in KiB (proc(5), `RssAnon`).
    pub(crate) fn memory(&self) -> u64 {
        let pid = self.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A new certificate in the agent's directory. Tells when the link was switched.
pub(crate) fn replace(place: &mut Place, leaf: &Leaf) -> Instant {
    place.deliver(Agent::Legacy, leaf);
    place.secrets.switched.unwrap()
}
