//! What holds where the file is silent. In: system or development. Out: values for the keys that are absent.
use super::{
    Address, DoorSettings, FileSet, IdentitySettings, LogFormat, LogLevel, LogSettings, ProxySettings,
    PublishSettings, SdsSettings, Settings, SocketSettings, SourceSettings, StorePassword,
    TokenSourceSettings,
};
use mtls_identity::TrustDomain;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Google's guest agents write here.
pub(crate) const GUEST_AGENT_DIRECTORY: &str = "/run/secrets/workload-spiffe-credentials";
pub(super) const GUEST_AGENT_POLL: Duration = Duration::from_secs(30);
pub(super) const METADATA_POLL: Duration = Duration::from_secs(60);
pub(super) const DEV_CA_PATH: &str = "/ns/dev/sa/vm";
pub(super) const DEV_CA_LIFETIME: Duration = Duration::from_secs(3600);
pub(super) const KEY_MODE: u32 = 0o640;
pub(super) const ADMIN_SOCKET: &str = "admin.sock";
pub(super) const ADMIN_MODE: u32 = 0o660;
pub(super) const METADATA_SOCKET: &str = "metadata.sock";
pub(super) const METADATA_MODE: u32 = 0o666;
pub(super) const CREDENTIAL_SOCKET: &str = "credential.sock";
pub(super) const CREDENTIAL_MODE: u32 = 0o600;
/// Where the metadata-compatible API is without a word in the file.
pub(crate) const METADATA_LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8174),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 8174),
];
pub(super) const WORKLOAD_SOCKET: &str = "workload.sock";
pub(super) const WORKLOAD_MODE: u32 = 0o666;
pub(super) const REACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The base that a file's keys win over.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) runtime_dir: PathBuf,
    pub(super) source: SourceSettings,
    pub(super) files: Vec<FileSet>,
    pub(super) tokens: TokenSourceSettings,
}

impl Defaults {
    pub(super) fn system() -> Self {
        Self {
            runtime_dir: PathBuf::from("/run/mwid"),
            source: SourceSettings::Auto,
            files: vec![FileSet::Gce, FileSet::CredentialBundle, FileSet::SpiffeBundle],
            tokens: TokenSourceSettings::Auto,
        }
    }

    pub(super) fn dev(runtime_dir: &Path) -> Self {
        Self {
            runtime_dir: runtime_dir.to_owned(),
            source: dev_ca(),
            files: vec![
                FileSet::Gce,
                FileSet::CredentialBundle,
                FileSet::Haproxy,
                FileSet::SpiffeBundle,
            ],
            tokens: TokenSourceSettings::Dev,
        }
    }

    #[must_use]
    pub(super) fn in_runtime_dir(mut self, runtime_dir: &Path) -> Self {
        runtime_dir.clone_into(&mut self.runtime_dir);
        self
    }

    /// What an empty file means.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            identity: IdentitySettings {
                source: self.source.clone(),
                expect: None,
            },
            runtime_dir: self.runtime_dir.clone(),
            publish: vec![self.publish(self.runtime_dir.join("identity"))],
            admin: self.door(ADMIN_SOCKET, ADMIN_MODE, &[]),
            workload: self.door(WORKLOAD_SOCKET, WORKLOAD_MODE, &[]),
            sds: SdsSettings::default(),
            metadata: self.door(METADATA_SOCKET, METADATA_MODE, &METADATA_LISTEN),
            credential: self.door(CREDENTIAL_SOCKET, CREDENTIAL_MODE, &[]),
            tokens: self.tokens.clone(),
            access: Vec::new(),
            proxy: ProxySettings::default(),
            log: LogSettings {
                level: LogLevel::Info,
                format: LogFormat::Auto,
            },
        }
    }

    fn door(&self, socket: &str, mode: u32, listen: &[SocketAddr]) -> DoorSettings {
        DoorSettings {
            socket: Some(SocketSettings {
                path: self.runtime_dir.join(socket),
                mode,
                owner: None,
                group: None,
            }),
            listen: listen.iter().copied().map(Address::Tcp).collect(),
            listen_by_default: true,
        }
    }

    pub(super) fn publish(&self, directory: PathBuf) -> PublishSettings {
        PublishSettings {
            directory,
            files: self.files.clone(),
            owner: None,
            group: None,
            key_mode: KEY_MODE,
            store_password: StorePassword::default(),
            then: Vec::new(),
        }
    }
}

/// The names that Envoys of SPIRE ask for.
impl Default for SdsSettings {
    fn default() -> Self {
        Self {
            default: "default".to_owned(),
            root: "ROOTCA".to_owned(),
            all: "ALL".to_owned(),
            spiffe_validator: true,
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "a constant that is a trust domain's name by the standard; a test holds it"
)]
pub(super) fn dev_trust_domain() -> TrustDomain {
    TrustDomain::parse("dev.internal").expect("dev.internal is a trust domain")
}

fn dev_ca() -> SourceSettings {
    SourceSettings::DevCa {
        trust_domain: dev_trust_domain(),
        path: DEV_CA_PATH.to_owned(),
        lifetime: DEV_CA_LIFETIME,
    }
}
