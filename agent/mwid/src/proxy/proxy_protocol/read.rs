//! A load balancer's header. In: the beginning of a stream. Out: the addresses in it, with the stream at the first byte after it. Takes not a byte more,
//! and not more than a header may have.
use super::encode::SIGNATURE;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// No header is shorter: `PROXY UNKNOWN` and its line's end.
const SHORTEST: usize = 15;
/// The longest line of version 1 (proxy-protocol.txt, 2.1).
const LONGEST_LINE: usize = 107;
/// Addresses, and what load balancers add to them.
const LONGEST: usize = 4096;

/// Why the beginning of a stream is no header.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum HeaderError {
    #[error(
        "it begins with no PROXY header; only a load balancer that sends one may connect here (accept_proxy)"
    )]
    None,
    #[error("its PROXY header has more than {LONGEST} bytes")]
    TooLong,
    #[error("its PROXY header cannot be read")]
    Wrong,
    #[error("it ended within its PROXY header")]
    Io(#[source] io::Error),
}

/// Both ends of the connection that a load balancer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Ends {
    pub(in super::super) from: SocketAddr,
    pub(in super::super) to: SocketAddr,
}

/// Reads a header of version 1 or 2. No ends: the load balancer speaks for itself, or does not know them.
pub(in super::super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<Ends>, HeaderError> {
    let mut first = [0; SHORTEST];
    stream.read_exact(&mut first).await.map_err(HeaderError::Io)?;
    if first.starts_with(&SIGNATURE) {
        return version2(stream, first).await;
    }
    if first.starts_with(b"PROXY ") {
        return version1(stream, first).await;
    }
    Err(HeaderError::None)
}

async fn version1<S: AsyncRead + Unpin>(
    stream: &mut S,
    first: [u8; SHORTEST],
) -> Result<Option<Ends>, HeaderError> {
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(HeaderError::Wrong);
        }
        line.push(stream.read_u8().await.map_err(HeaderError::Io)?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| HeaderError::Wrong)?;
    let words: Vec<&str> = text.trim_end_matches("\r\n").split(' ').skip(1).collect();
    let (family, from, to, ports) = match words[..] {
        // What follows says nothing (2.1).
        ["UNKNOWN", ..] => return Ok(None),
        [family, from, to, from_port, to_port] => {
            (family, from.parse(), to.parse(), (port(from_port), port(to_port)))
        }
        _ => return Err(HeaderError::Wrong),
    };
    let (Ok(from), Ok(to), (Some(from_port), Some(to_port))) = (from, to, ports) else {
        return Err(HeaderError::Wrong);
    };
    match (family, from, to) {
        ("TCP4", IpAddr::V4(_), IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_), IpAddr::V6(_)) => Ok(Some(Ends {
            from: (from, from_port).into(),
            to: (to, to_port).into(),
        })),
        _ => Err(HeaderError::Wrong),
    }
}

/// Digits alone, and no zero before others (2.1).
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    is_plain.then(|| text.parse().ok())?
}

async fn version2<S: AsyncRead + Unpin>(
    stream: &mut S,
    first: [u8; SHORTEST],
) -> Result<Option<Ends>, HeaderError> {
    let [command, family, high] = [first[12], first[13], first[14]];
    let low = stream.read_u8().await.map_err(HeaderError::Io)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(HeaderError::TooLong);
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.map_err(HeaderError::Io)?;
    match (command, family) {
        // A check of the load balancer's own.
        (0x20, _) => Ok(None),
        (0x21, 0x11) => ends::<4, Ipv4Addr>(&rest).map(Some),
        (0x21, 0x21) => ends::<16, Ipv6Addr>(&rest).map(Some),
        // A stream of an unknown family, or of Unix sockets, whose addresses tell nothing. Datagrams become no stream; what is beyond is not in 2.2.
        (0x21, 0x00 | 0x01 | 0x10 | 0x20 | 0x30 | 0x31) => Ok(None),
        _ => Err(HeaderError::Wrong),
    }
}

/// Both addresses, then both ports.
fn ends<const LENGTH: usize, Ip: From<[u8; LENGTH]> + Into<IpAddr>>(
    rest: &[u8],
) -> Result<Ends, HeaderError> {
    let end = |at: usize| {
        let ip = rest.get(at * LENGTH..)?.first_chunk::<LENGTH>()?;
        let port = rest.get(2 * LENGTH + 2 * at..)?.first_chunk::<2>()?;
        let ip: IpAddr = Ip::from(*ip).into();
        Some(SocketAddr::from((ip, u16::from_be_bytes(*port))))
    };
    match (end(0), end(1)) {
        (Some(from), Some(to)) => Ok(Ends { from, to }),
        _ => Err(HeaderError::Wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, and what is left.
    async fn take(bytes: &[u8]) -> (Result<Option<Ends>, HeaderError>, Vec<u8>) {
        let mut stream = bytes;
        let read = read(&mut stream).await;
        (read, stream.to_vec())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn each_form_tells_its_address_and_takes_no_byte_more() {
        let ends = |from: &str, to: &str| Ends {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let v4 = ends("1.2.3.4:258", "5.6.7.8:443");
        let v6 = ends("[::1]:7", "[::2]:8");
        let in_v4 = v2(0x21, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 187, 4, 0, 0]);
        let in_v6 = v2(
            0x21,
            0x21,
            &[&[0; 15][..], &[1], &[0; 15], &[2], &[0, 7, 0, 8]].concat(),
        );
        let line = |text: &str| text.as_bytes().to_vec();
        for (header, wanted) in [
            (line("PROXY TCP4 1.2.3.4 5.6.7.8 258 443\r\n"), Some(v4)),
            (line("PROXY TCP6 ::1 ::2 7 8\r\n"), Some(v6)),
            (line("PROXY UNKNOWN\r\n"), None),
            (line("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None),
            (in_v4, Some(v4)),
            (in_v6, Some(v6)),
            (
                line("PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n"),
                Some(ends("1.2.3.4:0", "5.6.7.8:65535")),
            ),
            (v2(0x20, 0, &[]), None),
            // The family of a load balancer's own check says nothing.
            (v2(0x20, 0x12, &[0; 12]), None),
            (v2(0x21, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let (read, left) = take(&[&header[..], b"\x16hello"].concat()).await;
            assert_eq!(
                (read.unwrap(), &left[..]),
                (wanted, &b"\x16hello"[..]),
                "{header:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for wrong in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaa"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 x 443\r\n",
            b"PROXY TCP4 ::1 ::2 7 443\r\n",
            b"PROXY TCP4 1.2.3.4 ::2 7 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 7\r\n",
            b"PROXY TCP4 1.2.3.4",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 7 443 \r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 7 443 8\r\n",
            b"PROXY TCP4 1.2.3.4  5.6.7.8 7 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +7 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 7 +443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 07 443\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 7 00\r\n",
            b"PROXY TCP4 1.2.3.04 5.6.7.8 7 443\r\n",
            b"PROXY UNKNOWNS 1.2.3.4 5.6.7.8 7 443\r\n",
            long.as_bytes(),
            &huge,
            &v2(0x21, 0x11, &[1, 2, 3]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x31, 0x11, &[0; 12]),
            // Datagrams, and families and protocols that there are not.
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x22, &[0; 36]),
            &v2(0x21, 0x32, &[0; 216]),
            &v2(0x21, 0x02, &[]),
            &v2(0x21, 0x13, &[0; 12]),
            &v2(0x21, 0x41, &[0; 12]),
        ] {
            assert!(take(wrong).await.0.is_err(), "{wrong:?}");
        }
    }
}
