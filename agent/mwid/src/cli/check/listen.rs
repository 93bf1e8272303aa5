//! Addresses and sockets of our own: are they free? And those of systemd: does a unit name them?
use super::{Finding, Scene};
use crate::config::{Address, DoorSettings, Settings};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
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
    .chain(systemd(scene.settings, &UNITS.map(Path::new)))
    .collect()
}

/// Where units are (systemd.unit(5)), with their drop-ins.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
/// Of a unit file that is read; none has more.
const MOST_BYTES: u64 = 64 * 1024;

/// Sockets that no unit would pass. Which descriptor is behind a name, only a start by systemd tells.
fn systemd(settings: &Settings, units: &[&Path]) -> Vec<Finding> {
    let doors = [
        &settings.admin,
        &settings.workload,
        &settings.metadata,
        &settings.credential,
    ];
    let doors = doors.into_iter().flat_map(|door| &door.listen);
    let routes = settings.proxy.routes.iter().map(|route| &route.listen.address);
    let named = doors.chain(routes).filter_map(|address| match address {
        Address::Systemd(name) => Some(name.as_str()),
        Address::Tcp(_) | Address::Unix(_) => None,
    });
    let missing = named.filter(|name| !units.iter().any(|directory| is_named(directory, name)));
    missing
        .map(|name| {
            Finding::warning(
                "systemd_socket_unknown",
                format!("no socket unit of this machine has FileDescriptorName={name}, which `systemd:{name}` asks for"),
            )
            .why("mwid does not start, or does not reload, without it")
            .fix(format!(
                "set FileDescriptorName={name} and Service=mwid.service in a .socket unit, then: systemctl daemon-reload; systemctl enable --now that unit"
            ))
        })
        .collect()
}

/// Whether a socket unit in this directory names it. Without a name of its own a socket has its unit's.
fn is_named(directory: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let file = path
            .file_name()
            .and_then(|file| file.to_str())
            .unwrap_or_default();
        if file.ends_with(".socket.d") {
            let drop_ins = std::fs::read_dir(&path).into_iter().flatten().flatten();
            return drop_ins.into_iter().any(|drop_in| says(&drop_in.path(), name));
        }
        file.ends_with(".socket") && (file == name || says(&path, name))
    })
}

fn says(file: &Path, name: &str) -> bool {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "FileDescriptorName" && value.trim() == name).then_some(())
    };
    read.is_ok() && text.lines().any(|line| value(line).is_some())
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
                Address::Systemd(_) => None, // looked for in the units
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
    fn a_socket_that_no_unit_names_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = "proxy: { outbound: [{ name: out, listen: \"systemd:out\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\" }] }\n\
                    api: { metadata: { listen: \"systemd:meta.socket\" } }";
        let settings = crate::config::parse(text, Path::new("f.yaml")).unwrap();
        let found = || systemd(&settings, &[dir.path(), Path::new("/nonexistent")]);
        let told: Vec<_> = found().into_iter().map(|finding| finding.what).collect();
        assert!(
            told.len() == 2 && told[1].contains("FileDescriptorName=out"),
            "{told:?}"
        );
        std::fs::write(dir.path().join("meta.socket"), "[Socket]\nListenStream=1\n").unwrap();
        std::fs::write(
            dir.path().join("a.socket"),
            "[Socket]\nFileDescriptorName=outer\n",
        )
        .unwrap();
        assert_eq!(found().len(), 1);
        let drop_ins = dir.path().join("a.socket.d");
        std::fs::create_dir(&drop_ins).unwrap();
        std::fs::write(drop_ins.join("name.conf"), "[Socket]\nFileDescriptorName = out\n").unwrap();
        assert!(found().is_empty(), "{:?}", found());
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
