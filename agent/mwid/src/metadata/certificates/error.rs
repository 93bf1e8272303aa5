//! Why what the metadata server has is no candidate. In: what was found. Out: words with what to do. Never holds a part of a body
//! but IDs and domain names.
use mtls_identity::TrustDomain;
use mtls_identity::bundle::BundleError;
use mtls_identity::dir::ConfigStatus;
use mtls_identity::spiffe_id::SpiffeIdError;
use std::fmt;

/// A document below `instance/gce-workload-certificates/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    ConfigStatus,
    WorkloadIdentities,
    TrustAnchors,
}

impl Document {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ConfigStatus => "config-status",
            Self::WorkloadIdentities => "workload-identities",
            Self::TrustAnchors => "trust-anchors",
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    // Without serde's text, which quotes what it found.
    #[error(
        "{document} is not the JSON that Google's guest agent reads, at line {line} column {column} (members of a wrong kind, \
         missing, or doubled); compare it with what the agent of this VM logs"
    )]
    Json {
        document: Document,
        line: usize,
        column: usize,
    },
    #[error(
        "it has no credentials yet, because the platform reports trouble: {status}; see the VM's workload identity configuration"
    )]
    NotIssued { status: ConfigStatus },
    #[error(
        "it has no credentials yet and reports no trouble; they come minutes after the VM was given an identity"
    )]
    NoCredentials,
    #[error("it has {} identities where there is to be one: {}; leave the VM one", ids.len(), ids.join(", "))]
    SeveralCredentials { ids: Vec<String> },
    #[error(
        "the private key of {id} is withheld: the VM is configured so that its agents do not see it; allow it, or name another \
         identity.source"
    )]
    KeyWithheld { id: String },
    #[error("{found:?} in trust-anchors is no trust domain")]
    TrustDomain {
        found: String,
        #[source]
        source: SpiffeIdError,
    },
    #[error("the trust anchors of {trust_domain} are not usable; correct the pool's trust configuration")]
    Bundle {
        trust_domain: TrustDomain,
        #[source]
        source: BundleError,
    },
}

impl CertificatesError {
    /// A short name out of a small fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Json { .. } => "json",
            Self::NotIssued { .. } | Self::NoCredentials => "not_issued",
            Self::SeveralCredentials { .. } => "several_identities",
            Self::KeyWithheld { .. } => "key_withheld",
            Self::TrustDomain { .. } | Self::Bundle { .. } => "trust_anchors",
        }
    }
}
