//! Why Application Default Credentials gave no token. In: what went wrong. Out: words with what to do, and what it means to who asked. Names
//! files and fields, never a value of them.
use super::external::SubjectError;
use super::file::FormatError;
use crate::tokens::Failure;
use crate::tokens::endpoint::EndpointError;
use crate::tokens::endpoint::iam::{IamError, TargetError};
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum AdcError {
    #[error(
        "no file of Application Default Credentials is known: none of GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG and HOME is set; set \
         tokens.source: {{ adc: {{ file: … }} }} in the configuration"
    )]
    NoPlace,
    #[error(
        "there are no Application Default Credentials at {}; run `gcloud auth application-default login`, or name a file in \
         GOOGLE_APPLICATION_CREDENTIALS", path.display()
    )]
    NotThere { path: PathBuf },
    #[error("the credentials file {} cannot be read; let mwid's user read it", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no regular file, so it is not read for credentials; name the file itself", path.display())]
    NoFile { path: PathBuf },
    #[error("the credentials file {} is larger than {limit} bytes, which none is; name the right file", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("the credentials file {} is not usable", path.display())]
    Format {
        path: PathBuf,
        #[source]
        source: FormatError,
    },
    #[error("the service_account_impersonation_url of {} is not usable; make the file anew", path.display())]
    Target {
        path: PathBuf,
        #[source]
        source: TargetError,
    },
    #[error("no token by the credentials file {}", path.display())]
    Endpoint {
        path: PathBuf,
        #[source]
        source: EndpointError,
    },
    #[error("no token by the credentials file {}", path.display())]
    Iam {
        path: PathBuf,
        #[source]
        source: IamError,
    },
    #[error("the token of the other identity provider, which {} says how to get, is not there", path.display())]
    Subject {
        path: PathBuf,
        #[source]
        source: SubjectError,
    },
    #[error("the key of {} does not sign; make a new one", path.display())]
    Sign { path: PathBuf },
    #[error(
        "the user's credentials of {} give ID tokens for the audience of their OAuth client alone ({}), not for {asked:?}; use a service \
         account: `gcloud auth application-default login --impersonate-service-account=EMAIL`, or tokens.source: {{ impersonate: … }}",
        path.display(), given.as_deref().unwrap_or("and here none at all")
    )]
    UserAudience {
        path: PathBuf,
        asked: String,
        given: Option<String>,
    },
    #[error(
        "the federated credentials of {} stand for no service account, and only those have ID tokens; add \
         service_account_impersonation_url to the file, or set tokens.source: {{ impersonate: … }}", path.display()
    )]
    NoIdTokens { path: PathBuf },
}

impl AdcError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Endpoint { source, .. } => source.failure(),
            Self::Iam { source, .. } => source.failure(),
            Self::UserAudience { .. } | Self::NoIdTokens { .. } => Failure::Refused,
            // Somebody puts the file there or repairs it: the same question may be answered then.
            Self::NoPlace
            | Self::NotThere { .. }
            | Self::Unreadable { .. }
            | Self::NoFile { .. }
            | Self::TooLarge { .. }
            | Self::Format { .. }
            | Self::Target { .. }
            | Self::Subject { .. }
            | Self::Sign { .. } => Failure::LATER,
        }
    }
}
