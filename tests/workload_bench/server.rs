//! The servers: each a process of its own, ended (by its own id) when dropped.
use crate::daemon::{Daemon, PATH, Place};
use crate::load::Readers;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::guest_agent::Agent;

/// What both can do.
pub(crate) enum Server {
    /// With the place that it is in.
    Mwid(Box<(Daemon, Place)>),
    Floor(Child, tempfile::TempDir),
}

const FLOOR_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/workload_bench/floor");

/// Builds the floor, which has dependencies of its own. Its binary.
pub(crate) fn build_floor() -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/workload_floor");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--locked", "--manifest-path"])
        .arg(Path::new(FLOOR_FOLDER).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success(), "the floor cannot be built");
    target.join("release/workload-floor")
}

impl Server {
    /// The daemon with an identity in the guest agent's way. Everyone may have it, so that readers of several users are served.
    pub(crate) fn mwid() -> Self {
        let mut place = Place::new();
        place.config("access: [{ who: everyone, may: { identity: true } }]\n");
        place.open_to_all();
        place.deliver_good();
        let mut daemon = place.start();
        daemon.wait_ready();
        Self::Mwid(Box::new((daemon, place)))
    }

    /// With a message about as large.
    pub(crate) fn floor(binary: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("floor.sock");
        let mut child = Command::new(binary)
            .arg(&socket)
            .args(["1500", "138", "500"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !socket.exists() {
            assert!(child.try_wait().unwrap().is_none(), "the floor ended");
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "the floor does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        for path in [place.path(), &socket] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        Self::Floor(child, place)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        match self {
            Self::Mwid(both) => both.1.path("run/workload.sock"),
            Self::Floor(_, place) => place.path().join("floor.sock"),
        }
    }

    /// Gives it something new to send, and waits for all readers. The new certificate is made before the clock starts.
    pub(crate) async fn rotate_and(&mut self, readers: &mut Readers) -> Vec<Duration> {
        match self {
            Self::Mwid(both) => {
                let leaf = both.1.world.leaf(PATH);
                readers.begin();
                both.1.deliver(Agent::Legacy, &leaf);
            }
            Self::Floor(child, _) => {
                readers.begin();
                child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            }
        }
        readers.whole_round().await
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Mwid(both) => u32::try_from(both.0.pid()).unwrap(),
            Self::Floor(child, _) => child.id(),
        }
    }

    /// Memory that is the process's alone, in KiB (proc(5), `RssAnon`).
    pub(crate) fn memory(&self) -> u64 {
        let pid = self.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// CPU time so far: user and system (proc(5): the 14th and 15th field, in ticks).
    pub(crate) fn cpu(&self) -> Duration {
        let pid = self.pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|n| n.parse::<u64>().unwrap()).sum();
        let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .unwrap()
            .unwrap();
        Duration::from_secs(ticks) / u32::try_from(a_second).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Floor(child, _) = self {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
