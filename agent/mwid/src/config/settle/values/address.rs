//! Addresses and socket paths.
use super::{plain_components, quoted};
use crate::config::Address;
use crate::config::error::Wrong;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What `sockaddr_un` holds, without the final NUL (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// A socket's path; relative ones are under the runtime directory.
pub(in super::super) fn socket_path(text: &str, runtime_dir: &Path) -> Result<PathBuf, Wrong> {
    let wanted = "a socket's path, absolute or below runtime_dir";
    if text.is_empty() || text.ends_with('/') {
        return Err(Wrong::new(&quoted(text), wanted));
    }
    let path = runtime_dir.join(plain_components(text, wanted)?);
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(Wrong::new(
            &format!("a path of {length} bytes with runtime_dir"),
            format!("a socket's path of at most {LONGEST_SOCKET_PATH} bytes"),
        )
        .fix("the system allows no more; use a shorter path or runtime_dir"));
    }
    Ok(path)
}

/// `HOST:PORT`, `unix:PATH` or `systemd:NAME`. No name is looked up: HOST is an IP address.
pub(in super::super) fn address(text: &str, runtime_dir: &Path) -> Result<Address, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path, runtime_dir).map(Address::Unix);
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return systemd_name(name).map(Address::Systemd);
    }
    text.parse::<SocketAddr>().map(Address::Tcp).map_err(|_| {
        let wrong = Wrong::new(&quoted(text), "an address: IP:PORT, unix:PATH or systemd:NAME");
        match text.rsplit_once(':') {
            Some(("localhost", port)) => wrong.fix(format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"")),
            Some(("" | "*", port)) => wrong.fix(format!("write the address too: \"127.0.0.1:{port}\"")),
            Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
                wrong.fix(format!("an IPv6 address stands in brackets: \"[{host}]:{port}\""))
            }
            None if text == "off" => wrong.fix("`off` stands alone, not in a list"),
            None => wrong.fix("write the port too, such as \"127.0.0.1:9090\""),
            _ => wrong,
        }
    })
}

/// The IPv6 address of Compute Engine's metadata server; the other one, 169.254.169.254, is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// `IP:PORT` of a server that hands out `secret` in plain text: nothing that is further away than the hypervisor.
pub(in super::super) fn server_address(text: &str, secret: &str) -> Result<SocketAddr, Wrong> {
    let wanted = "the metadata server's address: IP:PORT, loopback or link-local (169.254.169.254)";
    let wrong = || Wrong::new(&quoted(text), wanted);
    let address: SocketAddr = text.parse().map_err(|_| {
        if text.parse::<IpAddr>().is_ok() {
            wrong().fix("write the port too")
        } else {
            wrong().fix("no name is looked up; write its IP address and port")
        }
    })?;
    let near = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip == METADATA_V6,
    };
    if !near {
        return Err(wrong().fix(format!("{secret} would travel over the network in plain text")));
    }
    if address.port() == 0 {
        return Err(wrong().fix("nobody listens at port 0"));
    }
    Ok(address)
}

/// As systemd.socket(5) has it for `FileDescriptorName=`.
fn systemd_name(name: &str) -> Result<String, Wrong> {
    let fits =
        (1..=255).contains(&name.len()) && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b':');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(Wrong::new(
            &quoted(name),
            "the FileDescriptorName= of a systemd socket: 1 to 255 ASCII characters, no colon",
        ))
    }
}
