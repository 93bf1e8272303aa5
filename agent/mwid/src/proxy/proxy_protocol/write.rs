//! The header for the application. In: both addresses, the peer, the TLS connection. Out: bytes of version 2.
use super::SIGNATURE;
use crate::config::SendProxy;
use mtls_identity::Peer;
use rustls::{CommonState, ProtocolVersion};
use std::net::SocketAddr;

/// Types of TLVs (proxy-protocol.txt, 2.2).
const ALPN: u8 = 0x01;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CLIENT_CERT: u8 = 0x28;
/// The first of those that are free for our own use: the peer's SPIFFE ID.
const SPIFFE_ID: u8 = 0xe0;

/// The client speaks TLS, showed a certificate in this connection, and in this session.
const CLIENT: u8 = 0x01 | 0x02 | 0x04;

/// The header of a connection; nothing where the route sends none. `None`: it would be too long for its form.
pub(in super::super) fn header(
    how: SendProxy,
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    peer: &Peer,
    tls: &CommonState,
) -> Option<Vec<u8>> {
    let more = match how {
        SendProxy::None => return Some(Vec::new()),
        SendProxy::V2 => Vec::new(),
        SendProxy::V2Tls => tlvs(peer, tls)?,
    };
    let (family, addresses) = addresses(from, to);
    let length = u16::try_from(addresses.len() + more.len()).ok()?;
    let mut header = Vec::with_capacity(SIGNATURE.len() + 4 + usize::from(length));
    header.extend(SIGNATURE);
    // Version 2, a connection of somebody else's.
    header.push(0x21);
    header.push(family);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header.extend(more);
    Some(header)
}

/// Family and protocol, then both addresses and ports. A Unix socket has no addresses that would tell anything.
fn addresses(from: Option<SocketAddr>, to: Option<SocketAddr>) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
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

fn tlvs(peer: &Peer, tls: &CommonState) -> Option<Vec<u8>> {
    let mut ssl = vec![CLIENT];
    // 0: verified.
    ssl.extend([0; 4]);
    let version = match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    tlv(&mut ssl, SSL_VERSION, version.as_bytes())?;
    if let Some(leaf) = peer.chain().first() {
        tlv(&mut ssl, SSL_CLIENT_CERT, leaf)?;
    }
    let mut all = Vec::new();
    if let Some(protocol) = tls.alpn_protocol() {
        tlv(&mut all, ALPN, protocol)?;
    }
    tlv(&mut all, SSL, &ssl)?;
    tlv(&mut all, SPIFFE_ID, peer.id().as_str().as_bytes())?;
    Some(all)
}

fn tlv(into: &mut Vec<u8>, kind: u8, value: &[u8]) -> Option<()> {
    into.push(kind);
    into.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
    into.extend_from_slice(value);
    Some(())
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
        let (family, bytes) = addresses(v4("[::1]:1"), v4("5.6.7.8:2"));
        assert_eq!((family, bytes.len()), (0x21, 36));
        assert_eq!(bytes[26..28], [0xff, 0xff], "mapped");
        assert_eq!(addresses(None, None), (0x00, vec![]));
    }
}
