//! Addresses and sockets of our own: are they free?
use super::{Finding, Scene};
use crate::config::{Address, DoorSettings};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = scene.settings;
    [
        &settings.admin,
        &settings.workload,
        &settings.metadata,
        &settings.credential,
    ]
    .into_iter()
    .flat_map(|door| self::door(door, scene.daemon_runs))
    .collect()
}

fn door(door: &DoorSettings, daemon_runs: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = door
        .socket
        .iter()
        .filter_map(|socket| unix(&socket.path, daemon_runs))
        .collect();
    findings.extend(
        door.listen
            .iter()
            .filter_map(|address| match address {
                Address::Tcp(tcp) => self::tcp(*tcp, daemon_runs),
                Address::Unix(path) => unix(path, daemon_runs),
                Address::Systemd(_) => None, // systemd holds it, and only while the unit runs
            })
            // Of the default addresses the daemon leaves out those of a family that the machine does not have.
            .filter(|finding| !(door.listen_by_default && finding.id == "address_not_here")),
    );
    findings
}

fn tcp(address: SocketAddr, daemon_runs: bool) -> Option<Finding> {
    let error = TcpListener::bind(address).err()?;
    Some(match error.kind() {
        ErrorKind::AddrInUse if daemon_runs => Finding::warning(
            "port_in_use",
            format!("{address} is in use: by the daemon that runs, or by another program; check cannot tell"),
        )
        .why("if it is another program, a reload to this configuration is refused")
        .fix(format!("see who has it: ss -ltnp 'sport = :{}'", address.port())),
        ErrorKind::AddrInUse => {
            Finding::error("port_in_use", format!("{address} is in use by another program"))
                .why("mwid could not listen there and would not start")
                .fix(format!(
                    "choose another port, or find who has it: ss -ltnp 'sport = :{}'",
                    address.port()
                ))
        }
        kind if kind == ErrorKind::AddrNotAvailable || no_such_family(&error) => Finding::error(
            "address_not_here",
            format!("{address} is no address of this machine"),
        )
        .why("mwid could not listen there and would not start")
        .fix("listen on 127.0.0.1 or [::1], or bring the address up first: ip address"),
        ErrorKind::PermissionDenied => Finding::error(
            "port_not_permitted",
            format!("this user may not listen on {address}"),
        )
        .why("ports below 1024 need a capability")
        .fix("choose a port from 1024 on, or: AmbientCapabilities=CAP_NET_BIND_SERVICE"),
        _ => Finding::error(
            "port_trouble",
            format!("mwid could not listen on {address}: {error}"),
        )
        .why("it would not start")
        .fix("choose another address"),
    })
}

/// IPv6 may be left out of a kernel, or switched off.
fn no_such_family(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

fn unix(path: &Path, daemon_runs: bool) -> Option<Finding> {
    let metadata = path.symlink_metadata().ok()?;
    if !metadata.file_type().is_socket() {
        return Some(
            Finding::error(
                "socket_in_the_way",
                format!("{} is there and is no socket", path.display()),
            )
            .why("mwid replaces only sockets, and would not start")
            .fix("move it away, or choose another path"),
        );
    }
    // A socket that nobody listens on is left over, and replaced.
    if daemon_runs || UnixStream::connect(path).is_err() {
        return None;
    }
    Some(
        Finding::error("socket_in_use", format!("somebody listens on {}, and it is no daemon of this runtime_dir", path.display()))
            .why("a second daemon with another runtime_dir, or another program; mwid takes no live socket from anybody")
            .fix(format!("find who has it: ss -lxp src {}", path.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_port_in_use_is_named() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let found = tcp(address, false).unwrap();
        assert_eq!(found.id, "port_in_use");
        assert!(found.what.contains(&address.to_string()), "{found:?}");
        let unsure = tcp(address, true).unwrap();
        assert_eq!(
            unsure.severity,
            super::super::Severity::Warning,
            "it may be anybody's"
        );
        assert!(unsure.what.contains("cannot tell"), "{unsure:?}");
        drop(held);
        assert_eq!(tcp(address, false), None);
        // TEST-NET-1 (RFC 5737) is nobody's.
        assert_eq!(
            tcp("192.0.2.1:0".parse().unwrap(), false).unwrap().id,
            "address_not_here"
        );
    }

    #[test]
    fn a_default_address_that_this_machine_does_not_have_is_no_trouble() {
        let metadata = |listen_by_default| DoorSettings {
            socket: None,
            // TEST-NET-1 (RFC 5737) is nobody's.
            listen: vec![Address::Tcp("192.0.2.1:0".parse().unwrap())],
            listen_by_default,
        };
        let ids = |found: Vec<Finding>| found.iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(door(&metadata(false), false)), ["address_not_here"]);
        assert_eq!(ids(door(&metadata(true), false)), [""; 0]);
    }

    #[test]
    fn a_live_socket_is_found_and_a_dead_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        assert_eq!(unix(&path, false), None);
        let held = UnixListener::bind(&path).unwrap();
        assert_eq!(unix(&path, false).unwrap().id, "socket_in_use");
        assert_eq!(unix(&path, true), None);
        drop(held);
        assert_eq!(unix(&path, false), None, "left over");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(unix(&path, true).unwrap().id, "socket_in_the_way");
    }
}
