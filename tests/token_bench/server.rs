//! The servers: each a process of its own, ended (by its own id) when dropped.
use super::floor;
use super::load::{REQUEST, Target};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    name: &'static str,
    child: Child,
    targets: Vec<Target>,
}

/// A port that was free a moment ago.
fn port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// On one processor, where that can be said: the floor has one thread too.
fn command(program: &Path) -> Command {
    if Command::new("taskset")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
    {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

impl Server {
    pub(crate) fn floor(place: &Path, transport: &str, length: usize) -> Self {
        let target = match transport {
            "unix" => Target::Unix(place.join("floor.sock")),
            _ => Target::Tcp(port()),
        };
        let address = match &target {
            Target::Unix(path) => path.to_str().unwrap().to_owned(),
            Target::Tcp(address) => address.to_string(),
        };
        let mut command = command(&std::env::current_exe().unwrap());
        command.args([floor::ARGUMENT, &address, &length.to_string()]);
        Self::start(floor::NAME, &mut command, vec![target])
    }

    pub(crate) fn mwid(place: &Path) -> Self {
        let tcp = port();
        let run = place.join("run");
        std::fs::create_dir(&run).unwrap();
        let config = place.join("mwid.yaml");
        let text = format!(
            "runtime_dir: {}\napi:\n  metadata: {{ listen: \"{tcp}\", socket: metadata.sock }}\n",
            run.display()
        );
        std::fs::write(&config, text).unwrap();
        let binary = std::env::var_os("MWID_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_mwid").into());
        let mut command = command(Path::new(&binary));
        command.args(["run", "--dev", "--config"]).arg(&config);
        let targets = vec![Target::Unix(run.join("metadata.sock")), Target::Tcp(tcp)];
        Self::start("mwid", &mut command, targets)
    }

    fn start(name: &'static str, command: &mut Command, targets: Vec<Target>) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { name, child, targets };
        let began = Instant::now();
        while !server.targets.iter().all(Target::is_there) {
            assert!(server.child.try_wait().unwrap().is_none(), "{name} ended");
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{name} does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Of the answer with a token.
    pub(crate) fn body_length(&self) -> usize {
        let Some(Target::Tcp(address)) = self.targets.iter().find(|t| t.transport() == "tcp") else {
            panic!("{} does not listen on TCP", self.name);
        };
        let mut stream = TcpStream::connect(address).unwrap();
        let head = REQUEST.strip_suffix(b"\r\n").unwrap();
        stream
            .write_all(&[head, b"Connection: close\r\n\r\n"].concat())
            .unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        answer.len() - end - 4
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.targets.clone()
    }

    /// CPU time of the process so far: user and system (proc(5): the 14th and 15th field, in ticks).
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
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
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Target {
    fn is_there(&self) -> bool {
        match self {
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
        }
    }
}
