//! The header for the application. In: both addresses, the peer, the TLS connection. Out: bytes of version 2.
use super::encode::encode;
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
    encode(from, to, &more)
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
