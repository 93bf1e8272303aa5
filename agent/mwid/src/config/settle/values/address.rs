//! Addresses and socket paths.
use super::{plain_components, quoted};
use crate::config::Address;
use crate::config::error::Wrong;
use std::net::SocketAddr;
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
            None => wrong.fix("write the port too, such as \"127.0.0.1:9090\""),
            _ => wrong,
        }
    })
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
