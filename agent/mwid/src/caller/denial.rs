//! Why a caller is not served, or a rule's question about it stays open. In: what the kernel said. Out: words for the caller and the
//! operator. Never a guess.
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a caller is not served. The text is for the caller; the operator gets it too.
///
/// [`Evidence`](super::Evidence) itself fails with the first two groups; the others are what its questions may fail with: then a rule that asks
/// does not match.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Denial {
    // Nobody can be told.
    #[error("the kernel does not say who you are")]
    Unknown(#[source] io::Error),
    #[error(
        "you, uid {uid}, are in a process namespace that mwid cannot see into (pid 0): call from the host's"
    )]
    Pid { uid: u32 },
    #[error(
        "the user of your process {pid} has no number here (the kernel shows uid {uid}): \
         call from the host's user namespace, and not as nobody"
    )]
    Uid { pid: i32, uid: u32 },

    // The same of TCP.
    #[error("you come over the network, from {peer}: only the machine itself is answered, on loopback")]
    NotLoopback { peer: SocketAddr },
    #[error(
        "the user of your socket has no number here (the kernel shows uid {uid}): \
         call from the host's user namespace, and not as nobody"
    )]
    SocketUid { uid: u32 },
    #[error(
        "the connection was closed before mwid could see whose it is: keep it open until the answer is there"
    )]
    Closed,
    #[error(
        "your end of the connection has no owner any more, as its program closed it or ended: \
         keep it open until the answer is there"
    )]
    Orphan,
    #[error(
        "your end of the connection is no longer open for sending (TCP state {state}), so mwid does not trust its owner: \
         end your side after the answer, not before"
    )]
    HalfClosed { state: u8 },
    #[error(
        "your end of the connection, {peer}, is not in the kernel's socket table: \
         call from the network namespace that mwid runs in, without address translation"
    )]
    NoSocket { peer: SocketAddr },
    #[error(
        "the kernel's socket table does not have this connection: mwid must run in the network namespace of its listening \
         socket, on a kernel with inet_diag and tcp_diag (modprobe tcp_diag)"
    )]
    Namespace,
    #[error(
        "mwid cannot ask the kernel's socket table: on TCP callers are told by it \
         (RestrictAddressFamilies= must have AF_NETLINK), or use the Unix socket"
    )]
    Table(#[source] io::Error),

    // The same of a unit's credential.
    #[error(
        "credentials are for root's service manager alone, and you are uid {uid}: name the socket in LoadCredential= of a system \
         service"
    )]
    NotManager { uid: u32 },
    #[error(
        "mwid runs in a user namespace, where root is anybody's: it gives credentials to the service manager of the machine alone"
    )]
    OtherRoot,
    #[error(
        "you are root in a user namespace of your own, as in a container: credentials are for the machine's service manager alone"
    )]
    ForeignRoot,
    #[error(
        "you ask for a credential of {asked}, and are {}: only a unit's own start fetches it",
        is.as_deref().map_or("in no unit".to_owned(), |is| format!("in {is}"))
    )]
    OtherUnit { asked: String, is: Option<String> },

    // One question stays open.
    #[error("your process {pid} has ended while mwid looked at it: keep the process that connects alive")]
    Ended { pid: i32 },
    #[error("your process {pid}, which made this connection, has ended: make one of your own")]
    HandedOn { pid: i32 },
    #[error(
        "your process {pid} is not the one that connected (it belongs to uid {now}, the connection to uid {uid}): \
         keep the process that connects alive, or use a kernel that tells the process itself (Linux 6.5)"
    )]
    Replaced { pid: i32, uid: u32, now: u32 },
    #[error(
        "mwid cannot hold on to your process {pid}, so nothing but its user and groups can be told: \
         look at mwid's open files (LimitNOFILE=) and its system call filter (pidfd_open)"
    )]
    Hold { pid: i32, source: io::Error },
    #[error(
        "mwid cannot read /proc/{pid}/{file} of your process: /proc must show the processes of all users \
         (no hidepid=, ProtectProc=default)"
    )]
    Proc {
        pid: i32,
        file: &'static str,
        source: io::Error,
    },
    #[error(
        "mwid is not permitted to see which program your process {pid} runs, as it is another user's: \
         rules on exe and sha256 need CAP_SYS_PTRACE (a drop-in for mwid.service), or use a rule on unit"
    )]
    NotPermitted { pid: i32 },
    #[error(
        "your program {path:?} is not the file that mwid finds at that path: it was removed or replaced since it was started \
         (restart it), is in a container, or in a place hidden from mwid (ProtectHome=, PrivateTmp=)"
    )]
    OtherFile { path: PathBuf },
    #[error("mwid cannot read your program {path:?}: rules on sha256 need a file that mwid can read")]
    Program { path: PathBuf, source: io::Error },
    #[error("your program {path:?} changed while mwid read it: try again")]
    ProgramChanged { path: PathBuf },
    #[error(
        "your program {path:?} has {size} bytes, more than the {most} that mwid reads for a rule on sha256: \
         use a rule on unit"
    )]
    ProgramSize { path: PathBuf, size: u64, most: u64 },
    #[error(
        "the systemd unit of your process, {unit}, was stopped or started anew: what is left of it counts as no unit's; \
         connect again from the unit as it runs now"
    )]
    Stopped { unit: String },
    #[error(
        "mwid cannot read which run of the systemd unit of your process, {unit}, is the present one, so that it cannot tell it from what an \
         earlier run left: /run/systemd/units must be readable"
    )]
    Run { unit: String, source: io::Error },
    #[error("mwid is still reading other programs for its rules on sha256: try again")]
    Busy,
    #[error(
        "the kernel does not say which control group your socket is of, so that no unit can be told on TCP \
         (it needs Linux 5.7 and a mounted cgroup2): use the Unix socket"
    )]
    NoCgroup,
    #[error(
        "the control group of your socket (number {id}) is not found among those of services and scopes, so that no unit can be told: \
         it may be gone, or a user's own (below user@UID.service); use the Unix socket"
    )]
    Cgroup { id: u64 },
    #[error(
        "mwid cannot search the control groups for the one of your socket: use the Unix socket, or try again"
    )]
    Cgroups(#[source] io::Error),
}

impl Denial {
    /// One word for it: a label of metrics, and what the record merges by.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Pid { .. } => "pid_namespace",
            Self::Uid { .. } | Self::SocketUid { .. } => "user_namespace",
            Self::NotManager { .. } => "not_root",
            Self::OtherRoot | Self::ForeignRoot => "other_root",
            Self::OtherUnit { .. } => "other_unit",
            Self::NotLoopback { .. } => "not_loopback",
            Self::Closed => "closed",
            Self::Orphan => "orphan",
            Self::HalfClosed { .. } => "half_closed",
            Self::NoSocket { .. } | Self::Namespace => "network_namespace",
            Self::Table(_) => "socket_table",
            Self::Ended { .. } | Self::HandedOn { .. } | Self::Replaced { .. } | Self::Stopped { .. } => {
                "ended"
            }
            Self::Hold { .. } | Self::Proc { .. } | Self::Run { .. } => "unreadable",
            Self::NotPermitted { .. } => "not_permitted",
            Self::OtherFile { .. }
            | Self::Program { .. }
            | Self::ProgramChanged { .. }
            | Self::ProgramSize { .. } => "program",
            Self::Busy => "busy",
            Self::NoCgroup | Self::Cgroup { .. } | Self::Cgroups(_) => "no_unit",
        }
    }

    /// Whether another look may find out: then a decision without it does not last.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Hold { .. } | Self::Proc { .. } | Self::ProgramChanged { .. } | Self::Busy => true,
            Self::Program { source, .. }
            | Self::Run { source, .. }
            | Self::Unknown(source)
            | Self::Table(source)
            | Self::Cgroups(source) => passes(source),
            _ => false,
        }
    }
}

/// Whether the kernel may answer otherwise in a moment: it lacked room, or was disturbed. Else it said no, or that there is nothing.
pub(super) fn passes(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let passing = [
        Errno::EAGAIN,
        Errno::EBUSY,
        Errno::EINTR,
        Errno::EIO,
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::ESTALE,
        Errno::ETIMEDOUT,
    ];
    match error.raw_os_error() {
        Some(number) => passing.contains(&Errno::from_raw(number)),
        None => matches!(
            error.kind(),
            io::ErrorKind::Interrupted
                | io::ErrorKind::OutOfMemory
                | io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    #[test]
    fn what_the_kernel_had_no_room_for_may_pass_and_what_it_refused_does_not() {
        let all = |source: fn() -> io::Error| {
            [
                Denial::Program {
                    path: "/x".into(),
                    source: source(),
                },
                Denial::Run {
                    unit: "x.service".to_owned(),
                    source: source(),
                },
                Denial::Unknown(source()),
                Denial::Table(source()),
                Denial::Cgroups(source()),
            ]
        };
        let passing: [fn() -> io::Error; 4] = [
            || io::Error::from_raw_os_error(libc::EMFILE),
            || io::Error::from_raw_os_error(libc::ENOMEM),
            || io::Error::from_raw_os_error(libc::EINTR),
            || io::ErrorKind::WouldBlock.into(),
        ];
        let settled: [fn() -> io::Error; 3] = [
            || io::Error::from_raw_os_error(libc::EACCES),
            || io::Error::from_raw_os_error(libc::ENOENT),
            || io::ErrorKind::InvalidData.into(),
        ];
        for source in passing {
            assert!(all(source).iter().all(Denial::may_pass), "{:?}", source());
        }
        for source in settled {
            assert!(!all(source).iter().any(Denial::may_pass), "{:?}", source());
        }
        assert!(Denial::Busy.may_pass() && !Denial::Ended { pid: 1 }.may_pass());
    }
}
