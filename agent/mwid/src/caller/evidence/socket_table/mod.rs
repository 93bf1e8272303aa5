//! The kernel's table of TCP sockets. In: a connection that we accepted. Out: who made its other end. Never asks for more than this
//! one connection, and never takes an end of another connection for it.
//!
//! The message is two structs of fixed size, so that its encoding is ours (`sock_diag`) over nix's netlink socket: the crates for it
//! bring five more and an encoder of every netlink family.
use super::sock_diag::{self, CLOSE_WAIT, ESTABLISHED, End, Malformed, Reply, Socket};
use crate::caller::Denial;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, send, socket,
};
use nix::sys::stat::fstat;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;

/// Enough for a socket with all its attributes (124 bytes today).
const REPLY: usize = 1024;
/// Answers to older questions that are passed over before we give up.
const MOST_STRAYS: usize = 16;

/// The table, asked over one netlink socket that is opened at the first question.
///
/// A question is a copy within the kernel (some µs): the answer is there when `send` returns. So it is asked on an async thread, and a
/// lock held meanwhile.
#[derive(Debug, Default)]
pub(in crate::caller) struct SocketTable(Mutex<Option<Line>>);

#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    sequence: u32,
}

impl SocketTable {
    /// The other end of a connection on loopback that we accepted.
    ///
    /// What makes it certain: the other end is looked up first, then ours. Ours is found by the same four addresses, is the
    /// very socket that we hold, and is open. So nobody else's connection had these addresses in between, and the end that was found is
    /// that of ours.
    pub(super) fn other_end(&self, stream: &TcpStream) -> Result<Socket, Denial> {
        let here = stream.local_addr().map_err(Denial::Unknown)?;
        let there = stream.peer_addr().map_err(|e| match e.kind() {
            io::ErrorKind::NotConnected => Denial::Closed,
            _ => Denial::Unknown(e),
        })?;
        let (own, other) = (plain(here), plain(there));
        if !stays_here(own.ip(), other.ip()) {
            return Err(Denial::NotLoopback { peer: other });
        }
        let inode = fstat(stream).map_err(|e| Denial::Unknown(e.into()))?.st_ino;
        let [theirs, ours] = self.ask([
            End {
                own: other,
                other: own,
            },
            End { own, other },
        ])?;
        decide(theirs, ours, inode, other).map_err(|denial| match denial {
            // Still open for us, and yet not in the table that we see.
            Denial::Closed if ours.is_none() && stream.peer_addr().is_ok() => Denial::Namespace,
            denial => denial,
        })
    }

    fn ask(&self, ends: [End; 2]) -> Result<[Option<Socket>; 2], Denial> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = Line::open(&mut line).and_then(|line| {
            let [first, second] = ends;
            Ok([line.ask(&first)?, line.ask(&second)?])
        });
        if answers.is_err() {
            // What is left in it may be anything.
            *line = None;
        }
        answers.map_err(Denial::Table)
    }
}

/// Both on loopback, or the machine talking to an address of its own by that very address (the link-local one, where a test or a gateway has it):
/// the kernel takes no packet from outside whose sender is the machine itself.
fn stays_here(own: IpAddr, other: IpAddr) -> bool {
    (own.is_loopback() && other.is_loopback()) || own == other
}

/// Without what the table does not have, and IPv4 as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether the one end that was found is surely that of the connection whose end we hold.
fn decide(
    theirs: Option<Socket>,
    ours: Option<Socket>,
    inode: u64,
    peer: SocketAddr,
) -> Result<Socket, Denial> {
    // The table has 32 bits of it, which is all that the kernel numbers sockets by.
    match ours {
        Some(ours) if u64::from(ours.inode) != inode & u64::from(u32::MAX) => return Err(Denial::Namespace),
        // CLOSE_WAIT: the other side ended its sending since; the connection still has its addresses.
        Some(ours) if ours.state == ESTABLISHED || ours.state == CLOSE_WAIT => {}
        // Ours vanishes when it is reset. Then the other end may be somebody else's by now.
        Some(_) | None => return Err(Denial::Closed),
    }
    let theirs = theirs.ok_or(Denial::NoSocket { peer })?;
    // First, for the table says uid 0 of a socket that nobody owns.
    if theirs.inode == 0 {
        return Err(Denial::Orphan);
    }
    if theirs.state != ESTABLISHED {
        return Err(Denial::HalfClosed { state: theirs.state });
    }
    Ok(theirs)
}

impl Line {
    fn open(line: &mut Option<Self>) -> io::Result<&mut Self> {
        match line {
            Some(line) => Ok(line),
            None => Ok(line.insert(Self {
                socket: socket(
                    AddressFamily::Netlink,
                    SockType::Raw,
                    SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                    SockProtocol::NetlinkSockDiag,
                )?,
                sequence: 0,
            })),
        }
    }

    fn ask(&mut self, end: &End) -> io::Result<Option<Socket>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = sock_diag::request(self.sequence, end).ok_or(io::ErrorKind::InvalidInput)?;
        // Without an address it goes to the kernel.
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut buffer = [0; REPLY];
        for _ in 0..MOST_STRAYS {
            // The answer is there already: never wait.
            let (length, from) = recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut buffer)?;
            // A process that administers the network could write to us, too.
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            match sock_diag::parse(&buffer[..length], self.sequence, end) {
                Ok(Reply::Socket(socket)) => return Ok(Some(socket)),
                Ok(Reply::None) => return Ok(None),
                Ok(Reply::Refused(errno)) => return Err(Errno::from_raw(errno).into()),
                Err(Malformed::Sequence { .. }) => {}
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests;
