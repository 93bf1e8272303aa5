//! Why the metadata server gave no answer, or not the wanted one. In: what went wrong. Out: words with what to do.
//! Never holds a body: it may hold a key.
use super::Answer;
use super::certificates::CertificatesError;
use super::grpc;
use crate::grpc::client::CallError;
use crate::http::body::BodyError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error(
        "no metadata server is asked: by its firmware this machine is no VM of Compute Engine; if it is one all the same, name the \
         source (identity.source: metadata_grpc or metadata)"
    )]
    NoVm,
    #[error(
        "cannot reach the metadata server at {server}; outside of Compute Engine there is none, on a VM see what blocks it"
    )]
    Connect {
        server: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "no connection to the metadata server at {server} within {}; outside of Compute Engine there is none, on a VM see \
         what blocks it", humantime::format_duration(*after)
    )]
    NoConnection { server: SocketAddr, after: Duration },
    #[error("the metadata server at {server} did not answer {path} within {}; it is asked again", humantime::format_duration(*after))]
    TimedOut {
        server: SocketAddr,
        path: String,
        after: Duration,
    },
    #[error("{path:?} cannot be asked for")]
    Path {
        path: String,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the talk with the metadata server at {server} about {path} broke off; it is asked again")]
    Http {
        server: SocketAddr,
        path: String,
        #[source]
        source: hyper::Error,
    },
    #[error("the metadata server's answer at {server} to {path} is not usable")]
    Body {
        server: SocketAddr,
        path: String,
        #[source]
        source: BodyError,
    },
    #[error(
        "the metadata server's answer at {server} to {path} is larger than the {limit} bytes that mwid reads; ask for single keys, or make the custom \
         metadata smaller"
    )]
    TooLarge {
        server: SocketAddr,
        path: String,
        limit: usize,
    },
    #[error(
        "{server} is no metadata server: it answered (status {status}) without the header Metadata-Flavor: Google; correct \
         the address, or the proxy in between"
    )]
    NotMetadata { server: SocketAddr, status: u16 },
    #[error(
        "workload certificates are not enabled for this VM (the metadata server at {server} says so for {path}); give the VM a \
         managed workload identity, and enable-workload-certificate=true in its metadata"
    )]
    FeatureOff { server: SocketAddr, path: String },
    #[error(
        "the metadata server at {server} does not have {path}: it does not serve this VM; Compute Engine serves workload \
         certificates to VMs with a managed workload identity only"
    )]
    NotFound { server: SocketAddr, path: String },
    #[error(
        "this VM never had a valid workload certificate configuration (status 412 of the metadata server at {server} for \
         {path}); correct the VM's or its pool's, then it is issued"
    )]
    NeverConfigured { server: SocketAddr, path: String },
    #[error(
        "the metadata server at {server} refuses {path} (status 403); see whether something in between adds \
         X-Forwarded-For or takes headers away"
    )]
    Forbidden { server: SocketAddr, path: String },
    #[error(
        "the metadata server at {server} is busy or in maintenance (status {status} for {path}); it is asked again"
    )]
    Busy {
        server: SocketAddr,
        path: String,
        status: u16,
    },
    #[error(
        "the metadata server at {server} answered {path} with status {status}, which nobody expects; it is asked again"
    )]
    Status {
        server: SocketAddr,
        path: String,
        status: u16,
    },
    #[error(
        "the gRPC service of the metadata server at {server} has no identity for this VM (FAILED_PRECONDITION: {message:?}); \
         create the VM with a managed workload identity and its certificates"
    )]
    GrpcOff { server: SocketAddr, message: String },
    #[error(
        "the gRPC service of the metadata server at {server} gave no answer that is usable; it is asked again"
    )]
    Call {
        server: SocketAddr,
        #[source]
        source: CallError,
    },
    #[error("no runtime to ask the metadata server with; the limit of open files may be reached")]
    Runtime(#[source] io::Error),
    #[error("what the metadata server at {server} has for this VM is not usable")]
    Certificates {
        server: SocketAddr,
        #[source]
        source: CertificatesError,
    },
}

/// The start of the 404 of a VM that could have the feature; one that could not gets the generic page.
const FEATURE_OFF: &[u8] = b"workload certificate feature not enabled";

impl MetadataError {
    /// Why an answer with another status than 200 is none.
    pub(super) fn of_status(server: SocketAddr, path: &str, answer: &Answer) -> Self {
        let path = path.to_owned();
        let feature_off = || {
            answer
                .body
                .windows(FEATURE_OFF.len())
                .any(|part| part.eq_ignore_ascii_case(FEATURE_OFF))
        };
        match answer.status.as_u16() {
            403 => Self::Forbidden { server, path },
            404 if feature_off() => Self::FeatureOff { server, path },
            404 => Self::NotFound { server, path },
            412 => Self::NeverConfigured { server, path },
            status @ (429 | 500 | 502 | 503 | 504) => Self::Busy { server, path, status },
            status => Self::Status { server, path, status },
        }
    }

    /// Whether asking again at once is pointless: only somebody who changes the VM's configuration ends it.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::NoVm
            | Self::NotMetadata { .. }
            | Self::FeatureOff { .. }
            | Self::NotFound { .. }
            | Self::NeverConfigured { .. }
            | Self::Forbidden { .. }
            | Self::Path { .. }
            | Self::TooLarge { .. }
            | Self::GrpcOff { .. } => true,
            Self::Certificates { source, .. } => !matches!(source, CertificatesError::NoCredentials),
            Self::Call { source, .. } => grpc::is_lasting(source),
            Self::Connect { .. }
            | Self::NoConnection { .. }
            | Self::TimedOut { .. }
            | Self::Http { .. }
            | Self::Body { .. }
            | Self::Busy { .. }
            | Self::Status { .. }
            | Self::Runtime(_) => false,
        }
    }

    /// A short name out of a small fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } | Self::NoConnection { .. } => "unreachable",
            Self::NoVm => "no_vm",
            Self::TimedOut { .. } => "timed_out",
            Self::Path { .. } => "path",
            Self::GrpcOff { .. } => "feature_off",
            Self::Call { source, .. } => grpc::reason(source),
            Self::Runtime(_) => "runtime",
            Self::Http { .. } | Self::Body { .. } => "broken_answer",
            Self::TooLarge { .. } => "too_large",
            Self::NotMetadata { .. } => "not_metadata",
            Self::FeatureOff { .. } => "feature_off",
            Self::NotFound { .. } => "not_found",
            Self::NeverConfigured { .. } => "never_configured",
            Self::Forbidden { .. } => "forbidden",
            Self::Busy { .. } => "busy",
            Self::Status { .. } => "status",
            Self::Certificates { source, .. } => source.reason(),
        }
    }
}
