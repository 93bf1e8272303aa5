//! What routes are made of: names, targets, rules on peers.
use super::{address, quoted};
use crate::config::error::Wrong;
use crate::config::{Address, Target};
use crate::report::Causes;
use ipnet::IpNet;
use mtls_identity::peer::{PathPattern, PeerRule};
use mtls_identity::{IdPattern, SpiffeId, TrustDomain};
use std::net::IpAddr;
use std::path::Path;

/// A route's name: a label of metrics and a word in logs.
pub(in super::super) fn route_name(text: &str) -> Result<String, Wrong> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            &quoted(text),
            "a name of 1 to 64 letters, digits, dashes, dots and underscores",
        ))
    }
}

/// A DNS name (RFC 1123, 2.1), as SNI may carry it.
pub(in super::super) fn host_name(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new(&quoted(text), "a DNS name, such as ledger.internal");
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // All digits and dots would be an address to some.
    let is_name = text.len() <= 253
        && text.split('.').all(label)
        && !text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_name {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(wrong())
    }
}

/// `HOST:PORT` with a name or an IP address, or `unix:PATH`.
pub(in super::super) fn target(text: &str, runtime_dir: &Path) -> Result<Target, Wrong> {
    let wanted = "an address: HOST:PORT or unix:PATH";
    if !text.starts_with("unix:")
        && let Some((host, port)) = text.rsplit_once(':')
        && host.parse::<IpAddr>().is_err()
        && let Ok(host) = host_name(host)
    {
        return match port.parse() {
            Ok(port) if port > 0 => Ok(Target::Name { host, port }),
            _ => Err(Wrong::new(&quoted(text), wanted).fix("write a port from 1 to 65535")),
        };
    }
    match address(text, runtime_dir) {
        Ok(Address::Tcp(tcp)) if tcp.port() == 0 => {
            Err(Wrong::new(&quoted(text), wanted).fix("nobody listens at port 0"))
        }
        Ok(Address::Tcp(tcp)) if tcp.ip().is_unspecified() => {
            Err(Wrong::new(&quoted(text), wanted).fix("write the address to connect to, such as 127.0.0.1"))
        }
        Ok(Address::Tcp(tcp)) => Ok(Target::Tcp(tcp)),
        Ok(Address::Unix(path)) => Ok(Target::Unix(path)),
        Ok(Address::Systemd(_)) => {
            Err(Wrong::new(&quoted(text), wanted)
                .fix("systemd passes sockets to listen on, not to connect to"))
        }
        Err(Wrong { found, fix, .. }) => Err(Wrong {
            found,
            wanted: wanted.into(),
            fix,
        }),
    }
}

/// Addresses in CIDR notation, or one address.
pub(in super::super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let wrong = || {
        Wrong::new(
            &quoted(text),
            "a network or an address, such as 10.0.0.0/8 or fd00::/8",
        )
    };
    if let Ok(one) = text.parse::<IpAddr>() {
        return Ok(one.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| wrong())?;
    if network.trunc() != network {
        return Err(wrong().fix(format!("write {}, or the address alone", network.trunc())));
    }
    Ok(network)
}

/// An ID, a pattern, or the name of a trust domain with its scheme: `spiffe://example.org`.
pub(in super::super) fn peer_rule(text: &str) -> Result<PeerRule, Wrong> {
    let wrong = |why: &dyn std::error::Error| {
        Wrong::new(
            &quoted(text),
            "a SPIFFE ID, a pattern (`*` one segment, `**` the rest) or a trust domain, such as spiffe://example.org",
        )
        .fix(Causes(why).to_string())
    };
    let authority = text.strip_prefix("spiffe://");
    if let Some(domain) = authority.filter(|rest| !rest.contains('/') && !rest.contains('*')) {
        return TrustDomain::parse(domain)
            .map(PeerRule::from)
            .map_err(|e| wrong(&e));
    }
    if text.contains('*') {
        return IdPattern::parse(text).map(PeerRule::from).map_err(|e| wrong(&e));
    }
    SpiffeId::parse(text).map(PeerRule::from).map_err(|e| wrong(&e))
}

/// The name of a trust domain, with its scheme or without.
pub(in super::super) fn trust_domain(text: &str) -> Result<PeerRule, Wrong> {
    let name = text.strip_prefix("spiffe://").unwrap_or(text);
    TrustDomain::parse(name).map(PeerRule::from).map_err(|error| {
        Wrong::new(&quoted(text), "the name of a trust domain, such as example.org")
            .fix(Causes(&error).to_string())
    })
}

/// The path of SPIFFE IDs.
pub(in super::super) fn path_pattern(text: &str) -> Result<PeerRule, Wrong> {
    PathPattern::parse(text).map(PeerRule::from).map_err(|error| {
        Wrong::new(
            &quoted(text),
            "the path of SPIFFE IDs (`*` one segment, `**` the rest), such as /ns/shop/sa/*",
        )
        .fix(Causes(&error).to_string())
    })
}
