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
    put(&(REQUEST as u32).to_ne_bytes());
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
mod tests {
    use super::*;

    /// What Linux 6.18 answered about an IPv4 connection, and the same of one by an IPv6 socket.
    fn answer(family: u8, cgroup: u64) -> Vec<u8> {
        let mut body = vec![family, ESTABLISHED, 0, 0, 0xda, 0x9a, 0xc0, 0xef];
        for _ in 0..2 {
            let octets: [u8; 16] = match family {
                AF_INET => on_the_wire(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                _ => Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
            };
            body.extend(octets);
        }
        for number in [0_u32, 1, 0, 0, 0, 0, 1000, 989_097] {
            body.extend(number.to_ne_bytes());
        }
        let attributes: [(u16, &[u8]); 4] = [
            (8, &[0]),
            (15, &[0; 4]),
            (CGROUP_ID, &cgroup.to_ne_bytes()),
            (22, &[0x52, 0]),
        ];
        for (kind, value) in attributes {
            body.extend((4 + value.len() as u16).to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        message(SOCK_DIAG_BY_FAMILY, 7, &body)
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut message = vec![];
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(0_u16.to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend(4711_u32.to_ne_bytes());
        message.extend(body);
        message
    }

    fn end() -> End {
        End {
            own: "127.0.0.1:55962".parse().unwrap(),
            other: "127.0.0.1:49391".parse().unwrap(),
        }
    }

    #[test]
    fn an_answer_is_read() {
        let socket = Socket {
            state: ESTABLISHED,
            uid: 1000,
            inode: 989_097,
            cgroup: Some(0x1_0000_0002),
        };
        for family in [AF_INET, AF_INET6] {
            let whole = answer(family, 0x1_0000_0002);
            assert_eq!(whole.len(), 124);
            assert_eq!(parse(&whole, 7, &end()), Ok(Reply::Socket(socket)));
            // An older kernel, without the attributes.
            let mut bare = whole[..HEADER + FIXED].to_vec();
            bare[..4].copy_from_slice(&((HEADER + FIXED) as u32).to_ne_bytes());
            assert_eq!(
                parse(&bare, 7, &end()),
                Ok(Reply::Socket(Socket {
                    cgroup: None,
                    ..socket
                }))
            );
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let whole = answer(AF_INET, 1);
        assert_eq!(
            parse(&whole, 8, &end()),
            Err(Malformed::Sequence { asked: 8, found: 7 })
        );
        let reversed = End {
            own: end().other,
            other: end().own,
        };
        assert_eq!(parse(&whole, 7, &reversed), Err(Malformed::OtherSocket));
        for at in [20, 22, 24, 40] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(parse(&other, 7, &end()), Err(Malformed::OtherSocket), "byte {at}");
        }
        let mut unix = whole.clone();
        unix[16] = 1;
        assert_eq!(parse(&unix, 7, &end()), Err(Malformed::OtherSocket));
        assert_eq!(parse(&message(3, 7, &[]), 7, &end()), Err(Malformed::Kind(3)));
        // One that listens.
        let mut listens = whole;
        listens[22..24].fill(0);
        listens[40..56].fill(0);
        assert_eq!(parse(&listens, 7, &end()), Ok(Reply::None));
    }

    #[test]
    fn an_error_is_read() {
        assert_eq!(
            parse(&message(NLMSG_ERROR, 7, &(-2_i32).to_ne_bytes()), 7, &end()),
            Ok(Reply::None)
        );
        assert_eq!(
            parse(&message(NLMSG_ERROR, 7, &(-1_i32).to_ne_bytes()), 7, &end()),
            Ok(Reply::Refused(1))
        );
        assert!(parse(&message(NLMSG_ERROR, 7, &i32::MIN.to_ne_bytes()), 7, &end()).is_ok());
        assert_eq!(
            parse(&message(NLMSG_ERROR, 7, &[0; 3]), 7, &end()),
            Err(Malformed::Short)
        );
    }

    #[test]
    fn a_short_answer_is_refused_wherever_it_ends() {
        let whole = answer(AF_INET, 5);
        for length in 0..whole.len() {
            assert_eq!(
                parse(&whole[..length], 7, &end()),
                Err(Malformed::Short),
                "the datagram ends at {length}"
            );
        }
        for length in 0..HEADER + FIXED {
            let mut says_less = whole.clone();
            says_less[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            assert_eq!(
                parse(&says_less, 7, &end()),
                Err(Malformed::Short),
                "it says {length}"
            );
        }
        let mut endless = whole;
        endless[HEADER + FIXED..HEADER + FIXED + 2].fill(0);
        assert_eq!(
            parse(&endless, 7, &end()),
            Err(Malformed::Short),
            "an attribute of no length"
        );
    }

    #[test]
    fn a_request_is_as_the_kernel_wants_it() {
        let bytes = request(9, &end()).unwrap();
        assert_eq!(bytes[..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [AF_INET, IPPROTO_TCP, 0, 0]);
        assert_eq!(bytes[24..28], [0xda, 0x9a, 0xc0, 0xef], "ports in network order");
        assert_eq!(bytes[28..32], [127, 0, 0, 1]);
        assert_eq!(bytes[44..48], [127, 0, 0, 1]);
        assert_eq!(bytes[60..64], 1_u32.to_ne_bytes());
        let mixed = End {
            own: "[::1]:1".parse().unwrap(),
            ..end()
        };
        assert_eq!(request(9, &mixed), None);
    }
}
