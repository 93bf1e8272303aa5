//! What the kernel keeps with a Unix socket about who connected. In: a connected socket. Out: its groups and a hold on its process, as of
//! connect(). Never a name: numbers only.
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerPidfd;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The kernel's own limit (NGROUPS_MAX).
const MOST_GROUPS: usize = 65536;

/// The supplementary groups of the process that connected (SO_PEERGROUPS, Linux 4.13).
pub(super) fn peer_groups(socket: BorrowedFd<'_>) -> nix::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    match read_groups(socket, &mut groups) {
        (Err(Errno::ERANGE), needed) if needed <= MOST_GROUPS => {
            // They were fixed when it connected, so that one more time is enough.
            groups.resize(needed, 0);
            let (outcome, length) = read_groups(socket, &mut groups);
            outcome?;
            groups.truncate(length);
        }
        (outcome, length) => {
            outcome?;
            groups.truncate(length);
        }
    }
    Ok(groups)
}

/// How many there are; with ERANGE: would be.
fn read_groups(socket: BorrowedFd<'_>, into: &mut [u32]) -> (nix::Result<()>, usize) {
    let unit = size_of::<libc::gid_t>();
    let Ok(mut length) = libc::socklen_t::try_from(size_of_val(into)) else {
        return (Err(Errno::EINVAL), 0);
    };
    // SAFETY: `into` is valid for writes of `length` bytes, and any bytes make numbers; `length` is a valid socklen_t. The
    // kernel writes no more than `length` said, and keeps neither pointer. The socket is open as long as it is borrowed.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            into.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let told = usize::try_from(length).unwrap_or(usize::MAX) / unit;
    (Errno::result(outcome).map(drop), told)
}

/// A hold on the very process that connected (SO_PEERPIDFD, Linux 6.5).
pub(super) fn peer_pidfd(socket: &impl AsFd) -> nix::Result<OwnedFd> {
    getsockopt(socket, PeerPidfd)
}
