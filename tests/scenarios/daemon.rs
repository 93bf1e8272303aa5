//! The real binary in a private directory, spoken to as an operator would: config file, signals, admin socket, command line.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::guest_agent::{Agent, Secrets};
use testkit::pki::{Leaf, World};

/// How long a test waits for a thing before it says that the thing did not happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What no word of the daemon's may hold.
const BAITS: [&str; 5] = [
    // How each JWT begins: those of the embedded platform are tokens of both kinds.
    "eyJ",
    // How Google's access tokens begin.
    "ya29.",
    // How the tokens of the tests' platforms are called.
    "token-of-the-",
    // How a key of P-256 begins in PKCS#8, and how each key ends in PEM.
    "MIGHAgEAMBMGByqGSM49",
    "PRIVATE KEY-----",
];

pub(crate) const DOMAIN: &str = "pool.global.123.workload.id.goog";
pub(crate) const PATH: &str = "/ns/shop/sa/payments";

/// A directory for one test: config, runtime directory, secrets.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) world: World,
    pub(crate) secrets: Secrets,
}

/// A running mwid; killed (by its own id) when dropped.
pub(crate) struct Daemon {
    child: Child,
    admin: PathBuf,
    log: PathBuf,
}

/// An answer of the admin API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Place {
    /// In memory, as /run is on a VM; on disk where there is no such place.
    pub(crate) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let dir = tempfile::Builder::new()
            .prefix("mwid-")
            .tempdir_in(parent)
            .unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        let secrets = Secrets::new(&dir.path().join("secrets"));
        Self {
            world: World::new(DOMAIN),
            secrets,
            dir,
        }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    pub(crate) fn published(&self, file: &str) -> PathBuf {
        self.path("run/identity").join(file)
    }

    /// Delivers a leaf with the files of the given agent, in its way.
    pub(crate) fn deliver(&mut self, agent: Agent, leaf: &Leaf) {
        let root = self.world.root.cert_pem.clone();
        let files: Vec<(&str, &[u8])> = vec![
            ("certificates.pem", leaf.chain_pem.as_bytes()),
            ("private_key.pem", leaf.key_pem.as_bytes()),
            ("ca_certificates.pem", root.as_bytes()),
        ];
        self.secrets.replace(agent, &files);
    }

    /// Delivers a new good leaf and returns it.
    pub(crate) fn deliver_good(&mut self) -> Leaf {
        let leaf = self.world.leaf(PATH);
        self.deliver(Agent::Legacy, &leaf);
        leaf
    }

    /// The config that most tests use: the guest agent's directory, published to run/identity. `more` is appended.
    pub(crate) fn config(&self, more: &str) -> PathBuf {
        let text = format!(
            "identity:\n  source: {{ guest_agent: {{ directory: {link}, poll: 30s }} }}\nruntime_dir: {run}\n{more}\n",
            link = self.secrets.link().display(),
            run = self.path("run").display()
        );
        self.config_text(&text)
    }

    /// Tests run side by side, so none may ask for the metadata-compatible API's usual port: it is off on TCP unless the test says more about it.
    pub(crate) fn config_text(&self, text: &str) -> PathBuf {
        let path = self.path("mwid.yaml");
        let quiet = "metadata: { listen: off }";
        let text = if text.contains("metadata: { listen") || text.contains("metadata: { socket") {
            text.to_owned()
        } else if text.contains("api: {") {
            text.replacen("api: {", &format!("api: {{ {quiet},"), 1)
        } else {
            format!("{text}\napi: {{ {quiet} }}\n")
        };
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&["run", "--config", self.path("mwid.yaml").to_str().unwrap()])
    }

    pub(crate) fn start_with(&self, args: &[&str]) -> Daemon {
        self.start_as(mwid().args(args))
    }

    pub(crate) fn start_as(&self, command: &mut Command) -> Daemon {
        self.start_from(command, Stdio::null())
    }

    pub(crate) fn start_from(&self, command: &mut Command, stdin: Stdio) -> Daemon {
        let log = self.path("daemon.log");
        let out = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stdin(stdin)
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Daemon {
            child,
            admin: self.path("run/admin.sock"),
            log,
        }
    }

    /// Other users reach its sockets; without this the test's own directory is closed to them.
    pub(crate) fn open_to_all(&self) {
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a client command against this place's config.
    pub(crate) fn mwid(&self, args: &[&str]) -> Output {
        mwid()
            .args(args)
            .arg("--config")
            .arg(self.path("mwid.yaml"))
            .output()
            .unwrap()
    }
}

/// The binary, in an environment without anything of ours. `MWID_BINARY` names another one, built in another way.
pub(crate) fn mwid() -> Command {
    let binary = std::env::var_os("MWID_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_mwid").into());
    let mut command = Command::new(binary);
    for name in [
        "MWID_RUNTIME_DIR",
        "MWID_LOG",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "JOURNAL_STREAM",
    ] {
        command.env_remove(name);
    }
    // A test asks no metadata server but its own: port 9 of this machine is nobody's.
    command
        .env("GCE_METADATA_HOST", "127.0.0.1:9")
        .env_remove("GCE_METADATA_ROOT")
        .env_remove("GCE_METADATA_IP")
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .env("CLOUDSDK_CONFIG", "/nonexistent");
    command
}

impl Daemon {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Answer> {
        self.request("GET", path)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Option<Answer> {
        ask(&self.admin, method, path)
    }

    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.get("/status")?.body).ok()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|a| a.code == 200)
    }

    pub(crate) fn wait_ready(&mut self) {
        self.wait_for("readiness", Self::is_ready);
    }

    /// Waits until the identity in force has this generation.
    pub(crate) fn wait_generation(&mut self, generation: u64) {
        self.wait_for(&format!("generation {generation}"), |d| {
            d.status()
                .is_some_and(|s| s["publish"][0]["generation"] == generation)
        });
    }

    pub(crate) fn wait_for(&mut self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !happened(self) {
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!(
                    "mwid ended ({ended}) while the test waited for {what}:\n{}",
                    self.log()
                );
            }
            assert!(
                Instant::now() < deadline,
                "no {what} within {PATIENCE:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait_end(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "mwid did not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and a clean end.
    pub(crate) fn stop(mut self) -> String {
        // None where a test has taken its admin API away.
        let told = ["/status", "/metrics"].map(|path| self.get(path).map(|answer| answer.body));
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let status = self.wait_end();
        let log = self.log();
        assert!(status.success(), "mwid ended with {status}:\n{log}");
        for text in told.iter().flatten().chain([&log]) {
            for bait in BAITS {
                assert!(!text.contains(bait), "{bait:?} in:\n{text}");
            }
        }
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One HTTP request over a Unix socket; none when nobody answers.
pub(crate) fn ask(socket: &Path, method: &str, path: &str) -> Option<Answer> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n");
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    talk(stream, &head)
}

/// Sends a head without its last line, and reads to the end.
pub(crate) fn talk(mut stream: impl Read + Write, head: &str) -> Option<Answer> {
    write!(stream, "{head}Connection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        code,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
