//! Configuration: the YAML text in, settled values out. Plain values; names no room. Never looks up a name or an address.

mod defaults;
mod endpoint;
mod error;
mod key_path;
mod later;
mod load;
mod proxy;
mod raw;
mod settle;
#[cfg(test)]
mod tests;
mod yaml;

pub(crate) use defaults::GUEST_AGENT_DIRECTORY;
pub(crate) use endpoint::Endpoint;
pub(crate) use error::ConfigError;
pub(crate) use proxy::{
    AcceptProxy, HttpTo, ListenSettings, ProxySettings, RouteSettings, SendProxy, Side, Target, Timeouts,
};

use defaults::Defaults;
use mtls_identity::{IdPattern, TrustDomain};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the system's configuration is.
pub(crate) const SYSTEM_FILE: &str = "/etc/mwid/mwid.yaml";

/// Reads and settles a file.
pub(crate) fn load(path: &Path) -> Result<Settings, ConfigError> {
    parse(&load::read(path)?, path)
}

/// Reads and settles a file of which only the keys that it has win over the embedded platform's settings ([`Settings::dev`]).
pub(crate) fn load_dev(path: &Path, runtime_dir: &Path) -> Result<Settings, ConfigError> {
    load::settled(&load::read(path)?, path, Defaults::dev(runtime_dir))
}

/// Settles a text; `name` stands for it in errors.
pub(crate) fn parse(text: &str, name: &Path) -> Result<Settings, ConfigError> {
    load::settled(text, name, Defaults::system())
}

/// A whole settled configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) identity: IdentitySettings,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) publish: Vec<PublishSettings>,
    pub(crate) admin: DoorSettings,
    /// The SPIFFE Workload API.
    pub(crate) workload: DoorSettings,
    /// Envoy's secret discovery service, at the same door.
    pub(crate) sds: SdsSettings,
    /// The metadata-compatible API.
    pub(crate) metadata: DoorSettings,
    /// The socket for systemd's `LoadCredential=`.
    pub(crate) credential: DoorSettings,
    pub(crate) tokens: TokenSourceSettings,
    /// In the order of the file; grants add up.
    pub(crate) access: Vec<AccessRule>,
    pub(crate) proxy: ProxySettings,
    pub(crate) log: LogSettings,
}

impl Default for Settings {
    /// What an empty file means.
    fn default() -> Self {
        Defaults::system().settings()
    }
}

impl Settings {
    /// What an empty file means, in another runtime directory.
    pub(crate) fn in_runtime_dir(runtime_dir: &Path) -> Self {
        Defaults::system().in_runtime_dir(runtime_dir).settings()
    }

    /// The embedded platform of `run --dev` and `demo`: a development CA, and everything in `runtime_dir`.
    pub(crate) fn dev(runtime_dir: &Path) -> Self {
        Defaults::dev(runtime_dir).settings()
    }
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
    /// The metadata server over HTTP; without an address the platform's.
    Metadata {
        address: Option<SocketAddr>,
        poll: Duration,
    },
    /// The same over gRPC.
    MetadataGrpc {
        address: Option<SocketAddr>,
        poll: Duration,
    },
    /// The Workload API of another agent.
    WorkloadApi {
        socket: Endpoint,
        /// Of the SVID to take; without one the default SVID.
        hint: Option<String>,
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

impl Default for StorePassword {
    /// The password that Java people expect; what protects the file is its mode.
    fn default() -> Self {
        Self(zeroize::Zeroizing::new("changeit".to_owned()))
    }
}

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

/// Where one API is: a Unix socket, and further addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorSettings {
    pub(crate) socket: Option<SocketSettings>,
    pub(crate) listen: Vec<Address>,
    /// True when the file is silent about `listen`: then an address of a family that this machine does not have is left out.
    pub(crate) listen_by_default: bool,
}

/// The names of Envoy's secrets, and how Envoy is to verify peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SdsSettings {
    /// Of the VM's certificate and key.
    pub(crate) default: String,
    /// Of the trust bundle of the VM's own domain.
    pub(crate) root: String,
    /// Of the trust bundles of all domains.
    pub(crate) all: String,
    /// False: plain `trusted_ca` for everybody.
    pub(crate) spiffe_validator: bool,
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenSourceSettings {
    /// Application Default Credentials if `GOOGLE_APPLICATION_CREDENTIALS` names a file, else the platform's metadata server if there is
    /// one, else the well-known file. Looked at again while there is nothing.
    Auto,
    None,
    /// The metadata server; without an address the platform's.
    Metadata {
        address: Option<SocketAddr>,
    },
    /// Application Default Credentials; without a file as Google's clients look for them.
    Adc {
        file: Option<PathBuf>,
    },
    /// IAM Credentials, with the tokens of another source.
    Impersonate {
        email: String,
        delegates: Vec<String>,
        from: Box<TokenSourceSettings>,
        /// The API's URL, where it is not the public one (Private Service Connect).
        endpoint: Option<String>,
    },
    /// The embedded platform's.
    Dev,
}

impl TokenSourceSettings {
    /// Whether there has to be a token, as opposed to whatever is found.
    pub(crate) fn is_named(&self) -> bool {
        !matches!(self, Self::Auto | Self::None)
    }
}

/// Who may have what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessRule {
    pub(crate) who: Who,
    pub(crate) may: May,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Everyone,
    /// All that are given must hold; at least one is given.
    Caller(Box<CallerConditions>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerConditions {
    /// A name; looked up when the rules are put in force.
    pub(crate) user: Option<String>,
    pub(crate) uid: Option<u32>,
    /// A name; looked up when the rules are put in force.
    pub(crate) group: Option<String>,
    pub(crate) gid: Option<u32>,
    /// A systemd unit with its type, `payments.service`.
    pub(crate) unit: Option<String>,
    pub(crate) exe: Option<PathBuf>,
    /// Of the program's file.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What a rule grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct May {
    /// The VM's X.509 identity, private key included.
    pub(crate) identity: bool,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) id_tokens: IdTokens,
    /// To connect at these outbound routes.
    pub(crate) routes: Routes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AccessTokens {
    #[default]
    None,
    /// Of exactly these scopes or a part of them; never empty.
    Scopes(BTreeSet<String>),
    All,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdTokens {
    #[default]
    None,
    /// Never empty.
    Audiences(Vec<AudiencePattern>),
    All,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Routes {
    #[default]
    None,
    /// Never empty.
    Named(BTreeSet<String>),
    All,
}

/// An audience, in which `*` stands for one whole DNS label of the host. Settled: well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AudiencePattern(pub(crate) String);

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
    Tcp(SocketAddr),
    Unix(PathBuf),
    Systemd(String),
}

/// As the file would say it.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(tcp) => write!(f, "{tcp}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// journald when under systemd, else text.
    Auto,
    Text,
    Json,
    Journald,
}
