//! The form of version 2. In: both addresses, and what comes behind them. Out: bytes.
use std::net::SocketAddr;

/// What version 2 begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// `None`: it would be too long for its form.
pub(super) fn encode(from: Option<SocketAddr>, to: Option<SocketAddr>, more: &[u8]) -> Option<Vec<u8>> {
    let (family, addresses) = addresses(from, to);
    let length = u16::try_from(addresses.len() + more.len()).ok()?;
    let mut header = Vec::with_capacity(SIGNATURE.len() + 4 + usize::from(length));
    header.extend(SIGNATURE);
    // Version 2, a connection of somebody else's.
    header.push(0x21);
    header.push(family);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header.extend_from_slice(more);
    Some(header)
}

/// Family and protocol, then both addresses and ports. A Unix socket has no addresses that would tell anything. Who came by IPv4 to `[::]` is told as
/// such: applications know nobody by a mapped address.
fn addresses(from: Option<SocketAddr>, to: Option<SocketAddr>) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (from, to) = (from.map(canonical), to.map(canonical));
    let family = match (from, to) {
        (Some(SocketAddr::V4(from)), Some(SocketAddr::V4(to))) => {
            bytes.extend(from.ip().octets());
            bytes.extend(to.ip().octets());
            0x11
        }
        (Some(from), Some(to)) => {
            for one in [from, to] {
                bytes.extend(match one.ip() {
                    std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    std::net::IpAddr::V6(ip) => ip.octets(),
                });
            }
            0x21
        }
        _ => return (0x00, bytes),
    };
    for one in [from, to].into_iter().flatten() {
        bytes.extend(one.port().to_be_bytes());
    }
    (family, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_form_of_their_family() {
        let v4 = |text: &str| text.parse().ok();
        let (family, bytes) = addresses(v4("1.2.3.4:258"), v4("5.6.7.8:443"));
        assert_eq!(
            (family, &bytes[..]),
            (0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 187][..])
        );
        // At a listener of both families.
        for (from, to) in [
            ("[::ffff:1.2.3.4]:258", "[::ffff:5.6.7.8]:443"),
            ("1.2.3.4:258", "[::ffff:5.6.7.8]:443"),
        ] {
            assert_eq!(addresses(v4(from), v4(to)), (0x11, bytes.clone()), "{from} {to}");
        }
        let (family, bytes) = addresses(v4("[::1]:1"), v4("5.6.7.8:2"));
        assert_eq!((family, bytes.len()), (0x21, 36));
        assert_eq!(bytes[26..28], [0xff, 0xff], "mapped");
        assert_eq!(addresses(None, None), (0x00, vec![]));
    }
}
