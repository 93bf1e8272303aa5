//! Which daemon a client command means. In: `--config` and the environment. Out: its settings. Never connects.
use super::{Exit, Failure, args::At, output};
use crate::config::{self, Address, Settings};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// `--config`, then `MWID_RUNTIME_DIR`, then the system's daemon.
pub(super) fn settings(at: &At) -> Result<Settings, Failure> {
    find(
        at,
        std::env::var_os("MWID_RUNTIME_DIR"),
        Path::new(config::SYSTEM_FILE),
    )
}

/// Where the daemon's admin socket is.
pub(super) fn admin_socket(at: &At) -> Result<PathBuf, Failure> {
    settings(at)?
        .admin
        .socket
        .map(|socket| socket.path)
        .ok_or_else(|| {
            Failure::new(
                Exit::Unavailable,
                "this daemon has no admin socket: its configuration says `api.admin.socket: off`",
            )
        })
}

/// Where the daemon's metadata-compatible API is on TCP, as a program on this machine dials it: the first address whose port is known.
pub(super) fn metadata_address(settings: &Settings) -> Option<SocketAddr> {
    settings.metadata.listen.iter().find_map(|address| match address {
        Address::Tcp(tcp) if tcp.port() != 0 => Some(dialled(*tcp)),
        _ => None,
    })
}

/// Where the daemon's Workload API is, as SPIFFE clients want it in `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint, section 4): its socket,
/// else the first address that `listen` names and that is known here. systemd's sockets have their addresses in their units.
pub(super) fn workload_endpoint(settings: &Settings) -> Option<String> {
    let door = &settings.workload;
    let socket = door.socket.iter().map(|socket| unix_uri(&socket.path));
    let listen = door.listen.iter().filter_map(|address| match address {
        Address::Unix(path) => Some(unix_uri(path)),
        Address::Tcp(tcp) if tcp.port() != 0 => Some(format!("tcp://{}", dialled(*tcp))),
        Address::Tcp(_) | Address::Systemd(_) => None,
    });
    socket.chain(listen).next()
}

/// An absolute path as the path of a URI (RFC 3986, 2.3: what is not unreserved is encoded).
fn unix_uri(path: &Path) -> String {
    let mut uri = "unix://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// Who listens on every address is reached on loopback.
fn dialled(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn find(at: &At, runtime_dir: Option<OsString>, system_file: &Path) -> Result<Settings, Failure> {
    if let Some(file) = &at.config {
        return config::load(file)
            .map_err(|error| Failure::new(Exit::Config, "the configuration cannot be used").because(error));
    }
    match runtime_dir {
        Some(dir) if !dir.is_empty() => Ok(Settings::in_runtime_dir(Path::new(&dir))),
        _ => Ok(system(system_file)),
    }
}

/// The system's configuration as far as this user may read it: an unreadable or broken file must not keep anybody from asking
/// a daemon that runs well (from before the file was broken) at its usual place.
fn system(file: &Path) -> Settings {
    if !file.exists() {
        return Settings::default();
    }
    config::load(file).unwrap_or_else(|error| {
        let settings = Settings::default();
        output::talk(&format!(
            "mwid: {}; looking for the daemon in {}",
            crate::report::Causes(&error),
            settings.runtime_dir.display()
        ));
        settings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(config: Option<PathBuf>) -> At {
        At { config }
    }

    #[test]
    fn config_wins_over_the_environment_and_that_over_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        std::fs::write(&file, "runtime_dir: /run/one\n").unwrap();
        let system = dir.path().join("system.yaml");
        std::fs::write(&system, "runtime_dir: /run/three\n").unwrap();
        let env = Some(OsString::from("/run/two"));
        let dir_of = |at: &At, env| find(at, env, &system).unwrap().runtime_dir;
        assert_eq!(dir_of(&at(Some(file)), env.clone()), Path::new("/run/one"));
        assert_eq!(dir_of(&at(None), env), Path::new("/run/two"));
        assert_eq!(
            dir_of(&at(None), Some(OsString::new())),
            Path::new("/run/three"),
            "empty is unset"
        );
        assert_eq!(dir_of(&at(None), None), Path::new("/run/three"));
    }

    #[test]
    fn a_broken_file_is_refused_when_named_and_passed_over_when_it_is_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        std::fs::write(&file, "nonsense: 1\n").unwrap();
        let failure = find(&at(Some(file.clone())), None, &file).unwrap_err();
        assert_eq!(failure.exit(), Exit::Config);
        let found = find(&at(None), None, &file).unwrap();
        assert_eq!(found.runtime_dir, Path::new("/run/mwid"));
    }

    #[test]
    fn the_socket_is_in_the_runtime_directory() {
        let settings = Settings::in_runtime_dir(Path::new("/tmp/x"));
        assert_eq!(
            settings.admin.socket.unwrap().path,
            Path::new("/tmp/x/admin.sock")
        );
    }

    #[test]
    fn the_first_address_that_can_be_dialled_is_the_metadata_apis() {
        let of = |listen: &str| {
            let text = format!("api: {{ metadata: {{ listen: {listen}, unsafe_listen: true }} }}");
            let settings = config::parse(&text, Path::new("f.yaml")).unwrap();
            metadata_address(&settings).map(|address| address.to_string())
        };
        assert_eq!(
            metadata_address(&Settings::default()).unwrap().to_string(),
            "127.0.0.1:8174"
        );
        let named = |text: &str| Some(text.to_owned());
        assert_eq!(of("\"0.0.0.0:80\""), named("127.0.0.1:80"));
        assert_eq!(of("[\"unix:x.sock\", \"[::]:80\"]"), named("[::1]:80"));
        assert_eq!(of("[\"127.0.0.1:0\", \"10.0.0.1:81\"]"), named("10.0.0.1:81"));
        assert_eq!(of("off"), None);
        assert_eq!(of("\"systemd:x\""), None);
    }
}
