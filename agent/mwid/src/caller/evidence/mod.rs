//! What the kernel says about one connection's other end. In: a stream that was just accepted. Out: its user, and on being asked more of it.
//! Never a word from the other end itself.
mod cgroups;
mod digest;
mod invocation;
mod life;
mod process;
mod sock_diag;
mod socket;
mod socket_table;
mod stat;
mod unit;

pub(super) use cgroups::Cgroups;
pub(super) use digest::Digests;
pub(super) use invocation::Invocations;
pub(super) use life::Life;
pub(super) use socket_table::SocketTable;

use super::denial::passes;
use super::{Attestor, Caller, Denial};
use crate::http::Stream;
use digest::{DigestError, FileKey, MOST_BYTES};
use process::{Process, Program};
use std::fmt;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::net::{TcpStream, UnixStream};

/// What was seen when the connection came, and what can still be looked up while its process lives. What is found once is kept.
///
/// On a Unix socket it holds a pidfd: one more open file a connection.
#[derive(Debug)]
pub(crate) struct Evidence {
    attestor: Attestor,
    uid: u32,
    of: Of,
    life: Arc<Life>,
    unit: OnceLock<Option<String>>,
    program: OnceLock<Program>,
    sha256: OnceLock<[u8; 32]>,
}

/// What it is about.
#[derive(Debug)]
enum Of {
    Process {
        process: Process,
        gid: Option<u32>,
        groups: Box<[u32]>,
    },
    /// With the number of the control group in which it was made.
    Socket { cgroup: Option<u64> },
}

impl Attestor {
    /// Who connected: on a Unix socket by its credentials, groups and pidfd; on loopback TCP by the kernel's socket table.
    pub(crate) fn evidence(&self, stream: &Stream) -> Result<Evidence, Denial> {
        match stream {
            Stream::Unix(stream) => self.of_unix(stream),
            Stream::Tcp(stream) => self.of_tcp(stream),
        }
    }

    fn of_unix(&self, stream: &UnixStream) -> Result<Evidence, Denial> {
        let Caller { pid, uid, gid } = self.attest(stream)?;
        let groups = socket::peer_groups(stream.as_fd()).map_err(|e| Denial::Unknown(e.into()))?;
        // The group that stands for all that have no number here stands for nobody.
        let names_a_group = |group: &u32| *group != self.0.overflow_gid;
        let mut groups: Vec<u32> = groups.into_iter().chain([gid]).filter(names_a_group).collect();
        groups.sort_unstable();
        groups.dedup();
        let of = Of::Process {
            process: Process::of_peer(stream, pid, uid),
            gid: Some(gid).filter(names_a_group),
            groups: groups.into(),
        };
        Ok(Evidence::new(self, uid, of))
    }

    fn of_tcp(&self, stream: &TcpStream) -> Result<Evidence, Denial> {
        let socket = self.0.sockets.other_end(stream)?;
        if socket.uid == self.0.overflow_uid {
            return Err(Denial::SocketUid { uid: socket.uid });
        }
        let of = Of::Socket {
            cgroup: socket.cgroup,
        };
        Ok(Evidence::new(self, socket.uid, of))
    }
}

impl Evidence {
    fn new(attestor: &Attestor, uid: u32, of: Of) -> Self {
        let life = match &of {
            Of::Process { process, .. } if process.had_ended() => Life::ended(),
            Of::Process { process, .. } => Life::of(process.pidfd().cloned()),
            Of::Socket { .. } => Life::of(None),
        };
        Self {
            attestor: attestor.clone(),
            uid,
            of,
            life: Arc::new(life),
            unit: OnceLock::new(),
            program: OnceLock::new(),
            sha256: OnceLock::new(),
        }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Primary group; not known on TCP, nor of another user namespace. To match a group, look into [`Evidence::groups`].
    pub(crate) fn gid(&self) -> Option<u32> {
        match &self.of {
            Of::Process { gid, .. } => *gid,
            Of::Socket { .. } => None,
        }
    }

    /// All groups, the primary one too, in order; none on TCP, where the kernel tells the user alone. The overflow group is never
    /// among them.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        match &self.of {
            Of::Process { groups, .. } => Some(groups),
            Of::Socket { .. } => None,
        }
    }

    /// Not known on TCP.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process().map(Process::pid)
    }

    /// Whether unit and program are certainly those of the process that connected: false on kernels before 6.5, where they are those of the
    /// process that had its number and user when the connection was met. (Of TCP: see the room's table.)
    pub(crate) fn is_certain(&self) -> bool {
        self.process().is_none_or(Process::is_certain)
    }

    /// For how long what is told here of its process and its unit holds.
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Nothing that was looked up counts when the process has ended, or its unit is not the run any more in which it was found: whoever has
    /// the connection now was not attested.
    fn still_holds(&self) -> Result<(), Denial> {
        if !self.life.is_over() {
            return Ok(());
        }
        match (self.pid(), self.unit.get()) {
            (Some(pid), _) if self.life.is_process_gone() || self.life.process_ended() => {
                Err(Denial::Ended { pid })
            }
            (_, unit) => Err(Denial::Stopped {
                unit: unit.cloned().flatten().unwrap_or_default(),
            }),
        }
    }

    /// The systemd unit, `payments.service`; `None`: in none. An error when the caller or the unit's run has ended meanwhile, or it
    /// cannot be told.
    pub(crate) fn unit(&self) -> Result<Option<&str>, Denial> {
        self.still_holds()?;
        let unit = keep(&self.unit, || {
            let Some((unit, started)) = self.look_up_unit()? else {
                return Ok(None);
            };
            if let Some(invocation) = self.attestor.0.invocations.of(&unit)? {
                // Of a scope, processes are older as a rule: it is made around those that run.
                let is_left_over = |started| unit.ends_with(".service") && invocation.began_after(started);
                if started.is_some_and(is_left_over) {
                    return Err(Denial::Stopped { unit });
                }
                self.life.found_in(invocation);
            }
            Ok(Some(unit))
        })?;
        Ok(unit.as_deref())
    }

    /// And since when it runs, in ticks since the boot: the process, or of a socket the oldest that it may be of.
    fn look_up_unit(&self) -> Result<Option<(String, Option<u64>)>, Denial> {
        match &self.of {
            Of::Process { process, .. } => Ok(process.unit()?.map(|(unit, started)| (unit, Some(started)))),
            Of::Socket { cgroup } => {
                let (id, cgroups) = (cgroup.ok_or(Denial::NoCgroup)?, &self.attestor.0.cgroups);
                let unit = cgroups.unit(id)?;
                unit.map(|unit| Ok((unit, cgroups.oldest(id)?))).transpose()
            }
        }
    }

    /// Tells the process that connected from every other since the boot; none on TCP.
    pub(crate) fn process_key(&self) -> Result<Option<(i32, u64)>, Denial> {
        self.process().map(Process::key).transpose()
    }

    /// Whether the numbers of the process's users are the machine's; not known on TCP.
    pub(crate) fn is_in_first_user_namespace(&self) -> Result<Option<bool>, Denial> {
        self.process()
            .map(Process::is_in_first_user_namespace)
            .transpose()
    }

    /// Whether what a rule asks can never be told on this connection, and may be on another one.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.process().is_some_and(Process::is_out_of_reach)
    }

    /// Whether it runs the file that has this path here: the path is the same (symbolic links of the configured one followed), and
    /// so is the file (device and inode). An error where only the path is: in a container, or after the file was replaced.
    /// Always false on TCP.
    pub(crate) fn runs(&self, configured: &Path) -> Result<bool, Denial> {
        let Some(program) = self.program()? else {
            return Ok(false);
        };
        let unreadable = |source| Denial::Program {
            path: configured.to_owned(),
            source,
        };
        let here = match configured.canonicalize() {
            Err(e) if passes(&e) => return Err(unreadable(e)),
            here => here,
        };
        if !program.has_path(here.as_deref().unwrap_or(configured)) {
            return Ok(false);
        }
        match FileKey::of(configured) {
            Ok(key) if key.is_same_file(&program.key) && !program.is_removed() => return Ok(true),
            Err(e) if passes(&e) => return Err(unreadable(e)),
            Ok(_) | Err(_) => {}
        }
        Err(Denial::OtherFile {
            path: program.path.clone(),
        })
    }

    /// SHA-256 of the program's file, of the very file that runs. `None` on TCP. The first time for a program takes as long as
    /// reading it: ask last.
    pub(crate) fn sha256(&self) -> Result<Option<[u8; 32]>, Denial> {
        self.still_holds()?;
        self.process()
            .map(|process| keep(&self.sha256, || self.digest(process)).copied())
            .transpose()
    }

    fn digest(&self, process: &Process) -> Result<[u8; 32], Denial> {
        // Not the one that is kept: should the file have changed, the next look shall find it as it is then.
        let Program { path, key } = process.program()?;
        if key.size > MOST_BYTES {
            return Err(Denial::ProgramSize {
                path,
                size: key.size,
                most: MOST_BYTES,
            });
        }
        // That the process still ran when it was opened matters not: the key says that it is the same file.
        self.attestor
            .0
            .digests
            .get(key, || process.open_program())
            .map_err(|e| match e {
                DigestError::Busy => Denial::Busy,
                DigestError::Changed => Denial::ProgramChanged { path },
                DigestError::Read(source) => Denial::Program { path, source },
            })
    }

    fn program(&self) -> Result<Option<&Program>, Denial> {
        self.still_holds()?;
        self.process()
            .map(|process| keep(&self.program, || process.program()))
            .transpose()
    }

    fn process(&self) -> Option<&Process> {
        match &self.of {
            Of::Process { process, .. } => Some(process),
            Of::Socket { .. } => None,
        }
    }
}

/// What was found; a failure is not kept, so that a later look may succeed.
fn keep<T>(cell: &OnceLock<T>, look: impl FnOnce() -> Result<T, Denial>) -> Result<&T, Denial> {
    if let Some(found) = cell.get() {
        return Ok(found);
    }
    let found = look()?;
    Ok(cell.get_or_init(|| found))
}

/// `uid 1000 pid 4711 unit payments.service`, with what was looked up until now; looks up nothing.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        match &self.of {
            Of::Process { process, .. } => write!(f, " pid {}", process.pid())?,
            Of::Socket { .. } => {}
        }
        if let Some(Some(unit)) = self.unit.get() {
            write!(f, " unit {unit}")?;
        }
        if let Some(program) = self.program.get() {
            // Escaped: a path may hold line ends.
            write!(f, " exe {:?}", program.path)?;
        }
        if !self.is_certain() {
            write!(f, " (by its number)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
