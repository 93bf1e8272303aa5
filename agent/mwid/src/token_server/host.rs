//! Under which names we are asked: the guard against DNS rebinding. In: what a request calls us. Out: whether that can be us. A web page whose
//! name was turned to our address after it was loaded asks for its own name, and is not answered.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The metadata server's own addresses, in whose place a machine may have put us.
const SERVER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254);
const NAMES: [&str; 4] = [
    "localhost",
    "metadata.google.internal",
    "metadata.google.internal.",
    "metadata.goog",
];

/// `authority` is a host with or without a port, as in `Host` or an absolute-form target.
pub(super) fn is_ours(authority: &str) -> bool {
    // Names without a port first: they are most and cost least. No name is an address.
    let is_name = |host: &str| NAMES.iter().any(|name| host.eq_ignore_ascii_case(name));
    if is_name(authority) {
        return true;
    }
    let Some(host) = host(authority) else {
        return false;
    };
    is_name(host)
        || match ip(host) {
            Some(IpAddr::V4(ip)) => ip.is_loopback() || ip == SERVER_V4,
            Some(IpAddr::V6(ip)) => ip.is_loopback() || ip == SERVER_V6,
            None => false,
        }
}

fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Without the port, if what follows the host is one.
fn host(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(v6) => v6.find(']')? + 2,
        None => authority
            .bytes()
            .position(|b| b == b':')
            .unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_metadata_server_and_of_this_machine_are_ours() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:8174",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8174",
            "localhost",
            "LocalHost:65535",
            "metadata.google.internal",
            "Metadata.Google.Internal:80",
            "metadata.google.internal.",
            "metadata.google.internal.:80",
            "metadata.goog",
            "metadata.goog:443",
            "169.254.169.254",
            "169.254.169.254:80",
            "[fd20:ce::254]",
            "[fd20:ce:0:0::254]:80",
        ] {
            assert!(is_ours(good), "{good}");
        }
    }

    #[test]
    fn every_other_name_is_not() {
        for bad in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "localhost.",
            "localhost..",
            "metadata.google.internal..",
            "metadata.google.internal.evil.example",
            "evil.metadata.google.internal",
            "metadata.goog.",
            "metadata",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io",
            "127.1",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "2130706433",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "169.254.169.253",
            "[fd20:ce::255]",
            "::1",
            "[::1",
            "[::1]evil",
            "[::1]:",
            "[]",
            "[127.0.0.1]",
            "[localhost]",
            "localhost:",
            "localhost:http",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "localhost:80@evil.example",
            "evil.example@localhost",
            "localhost,evil.example",
            "localhost evil",
            " localhost",
            "[\u{e4}]",
            "[::1%eth0]",
        ] {
            assert!(!is_ours(bad), "{bad}");
        }
    }
}
