//! The messages of NETLINK_SOCK_DIAG (sock_diag(7), linux/inet_diag.h): one TCP socket by its exact four addresses. In: addresses; what the
//! kernel answered. Out: a request; a socket's owner and state. Never believes an answer that is about another socket, or to another
//! question. Names no other file, so that tests/fuzz can take it in as it is.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const ENOENT: i32 = 2;
/// The network interface `lo` has this index in every network namespace. Asked with it, the kernel also finds a socket that is
/// bound to the interface, which it would not with 0.
const LOOPBACK_INTERFACE: u32 = 1;
/// INET_DIAG_NOCOOKIE: any socket with these addresses.
const ANY_COOKIE: [u8; 8] = [0xff; 8];
/// INET_DIAG_CGROUP_ID, which comes unasked from Linux 5.7 on.
const CGROUP_ID: u16 = 21;

/// The netlink header.
const HEADER: usize = 16;
/// `struct inet_diag_msg`.
const FIXED: usize = 72;
/// The header and `struct inet_diag_req_v2`.
pub(crate) const REQUEST: usize = HEADER + 56;
const REQUEST_LENGTH: u32 = 72;
const _: () = assert!(REQUEST == 72);

/// The states that we tell apart (net/tcp_states.h).
pub(crate) const ESTABLISHED: u8 = 1;
pub(crate) const CLOSE_WAIT: u8 = 8;

/// One end of a connection: its own address, then the other's. Addresses of IPv4 in IPv6 are written as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) own: SocketAddr,
    pub(crate) other: SocketAddr,
}

/// A socket of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Of TCP.
    pub(crate) state: u8,
    /// Of whoever made it. 0 of one that has no owner any more: look at `inode` first.
    pub(crate) uid: u32,
    /// 0: no process has it open.
    pub(crate) inode: u32,
    /// The number of the control group in which it was made.
    pub(crate) cgroup: Option<u64>,
}

/// An answer that is none to our question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it is cut short")]
    Short,
    #[error("its type is {0}")]
    Kind(u16),
    #[error("it answers question {found}, not {asked}")]
    Sequence { asked: u32, found: u32 },
    #[error("it is about another socket")]
    OtherSocket,
}

/// What the kernel answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Socket(Socket),
    /// There is no such socket, or only one that listens on its port.
    None,
    /// The kernel's error number.
    Refused(i32),
}

/// Asks for one end; `None` if its two addresses are of different families.
pub(crate) fn request(sequence: u32, end: &End) -> Option<[u8; REQUEST]> {
    let family = match (end.own.ip(), end.other.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => AF_INET,
        (IpAddr::V6(_), IpAddr::V6(_)) => AF_INET6,
        _ => return None,
    };
    let mut message = [0; REQUEST];
    let mut rest = &mut message[..];
    let mut put = |bytes: &[u8]| {
        let (here, later) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        rest = later;
    };
    put(&REQUEST_LENGTH.to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&NLM_F_REQUEST.to_ne_bytes());
    put(&sequence.to_ne_bytes());
    put(&[0; 4]); // to the kernel
    put(&[family, IPPROTO_TCP, 0, 0]);
    put(&[0xff; 4]); // in any state
    put(&end.own.port().to_be_bytes());
    put(&end.other.port().to_be_bytes());
    put(&on_the_wire(end.own.ip()));
    put(&on_the_wire(end.other.ip()));
    put(&LOOPBACK_INTERFACE.to_ne_bytes());
    put(&ANY_COOKIE);
    Some(message)
}

fn on_the_wire(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
    }
}

/// Reads the answer to the question with this number, which was about this end.
pub(crate) fn parse(message: &[u8], sequence: u32, end: &End) -> Result<Reply, Malformed> {
    let length = usize::try_from(u32_at(message, 0)?).map_err(|_| Malformed::Short)?;
    let message = message.get(..length).ok_or(Malformed::Short)?;
    let (kind, found) = (u16_at(message, 4)?, u32_at(message, 8)?);
    if found != sequence {
        return Err(Malformed::Sequence {
            asked: sequence,
            found,
        });
    }
    match kind {
        NLMSG_ERROR => {
            let errno = i32::from_ne_bytes(bytes(message, HEADER)?).wrapping_neg();
            Ok(if errno == ENOENT {
                Reply::None
            } else {
                Reply::Refused(errno)
            })
        }
        SOCK_DIAG_BY_FAMILY => socket(message.get(HEADER..).ok_or(Malformed::Short)?, end),
        other => Err(Malformed::Kind(other)),
    }
}

/// Reads `struct inet_diag_msg` and what follows it.
fn socket(message: &[u8], end: &End) -> Result<Reply, Malformed> {
    let attributes = message.get(FIXED..).ok_or(Malformed::Short)?;
    let [family, state] = bytes(message, 0)?;
    let port = |at| bytes(message, at).map(u16::from_be_bytes);
    let address = |at| bytes(message, at).and_then(|octets| address(family, octets));
    let own = SocketAddr::new(address(8)?, port(4)?);
    let other = SocketAddr::new(address(24)?, port(6)?);
    if own == end.own && other.port() == 0 {
        // Without a connection of these four the kernel also takes a socket that listens on the first two.
        return Ok(Reply::None);
    }
    if (own, other) != (end.own, end.other) {
        return Err(Malformed::OtherSocket);
    }
    Ok(Reply::Socket(Socket {
        state,
        uid: u32_at(message, 64)?,
        inode: u32_at(message, 68)?,
        cgroup: cgroup(attributes)?,
    }))
}

/// A socket of IPv6 may hold a connection of IPv4: the kernel then writes its addresses as IPv4 in IPv6.
fn address(family: u8, octets: [u8; 16]) -> Result<IpAddr, Malformed> {
    match family {
        AF_INET => {
            let [a, b, c, d, ..] = octets;
            Ok(Ipv4Addr::new(a, b, c, d).into())
        }
        AF_INET6 => Ok(IpAddr::from(Ipv6Addr::from(octets)).to_canonical()),
        _ => Err(Malformed::OtherSocket),
    }
}

fn cgroup(mut attributes: &[u8]) -> Result<Option<u64>, Malformed> {
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length).ok_or(Malformed::Short)?;
        if u16_at(attributes, 2)? == CGROUP_ID {
            return Ok(Some(u64::from_ne_bytes(bytes(value, 0)?)));
        }
        // The next one begins at a multiple of 4; after the last one the padding may be missing.
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    message
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .ok_or(Malformed::Short)
}

fn u32_at(message: &[u8], at: usize) -> Result<u32, Malformed> {
    bytes(message, at).map(u32::from_ne_bytes)
}

fn u16_at(message: &[u8], at: usize) -> Result<u16, Malformed> {
    bytes(message, at).map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests;
