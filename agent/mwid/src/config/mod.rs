//! Configuration: the YAML text in, settled values out. Plain values; names no room above.
use mtls_identity::{IdPattern, TrustDomain};
use std::path::PathBuf;
use std::time::Duration;

/// A whole settled configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) identity: IdentitySettings,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) publish: Vec<PublishSettings>,
    pub(crate) admin: AdminSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentitySettings {
    pub(crate) source: SourceSettings,
    pub(crate) expect: Option<IdPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SourceSettings {
    Auto,
    None,
    GuestAgent {
        directory: PathBuf,
        poll: Duration,
    },
    DevCa {
        trust_domain: TrustDomain,
        path: String,
        lifetime: Duration,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PublishSettings {
    pub(crate) directory: PathBuf,
    pub(crate) files: Vec<FileSet>,
    /// User name or number; not looked up here.
    pub(crate) owner: Option<String>,
    /// Group name or number; not looked up here.
    pub(crate) group: Option<String>,
    pub(crate) key_mode: u32,
    pub(crate) store_password: StorePassword,
    pub(crate) then: Vec<Reaction>,
}

/// The password of PKCS#12 and JKS files. Debug is closed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StorePassword(pub(crate) zeroize::Zeroizing<String>);

impl std::fmt::Debug for StorePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StorePassword(..)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileSet {
    Gce,
    CredentialBundle,
    Haproxy,
    Pkcs12,
    Jks,
    SpiffeBundle,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Reload a systemd unit (ReloadUnit over D-Bus).
    Reload { unit: String },
    /// Send a signal.
    Signal { signal: String, of: SignalTarget },
    /// Run a command (argv, no shell).
    Run { command: Vec<String>, timeout: Duration },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignalTarget {
    Unit(String),
    PidFile(PathBuf),
}

/// The admin API: a Unix socket, and optionally loopback TCP for scrapes and health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    pub(crate) socket: Option<SocketSettings>,
    pub(crate) listen: Vec<Address>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketSettings {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
}

/// `HOST:PORT`, `unix:PATH` or `systemd:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
    Systemd(String),
}
