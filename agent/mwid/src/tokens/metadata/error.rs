//! Why the metadata server gave no token. In: what went wrong. Out: words with what to do, and what it means to who asked. Never holds a body; the
//! server's own words only as far as they cannot be a token.
use super::answer::AnswerError;
use super::binding::BindingError;
use crate::metadata::MetadataError;
use crate::tokens::Failure;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the metadata server gave no {what}")]
    Talk {
        what: &'static str,
        #[source]
        source: Box<MetadataError>,
    },
    #[error(
        "the metadata server at {server} is busy (status {status} to {tries} questions for {what}); it is asked again"
    )]
    Busy {
        server: SocketAddr,
        what: &'static str,
        status: u16,
        tries: u32,
        retry_after: Option<Duration>,
    },
    #[error(
        "the metadata server at {server} has no account {account}; attach a service account to the VM, or ask for one that it has \
         (`default`)"
    )]
    NoAccount { server: SocketAddr, account: String },
    #[error("{name:?} is not the name of an account; write its e-mail address, or `default`")]
    AccountName { name: String },
    #[error("{scope:?} is not a scope; scopes are texts without spaces and commas")]
    ScopeName { scope: String },
    #[error(
        "the question for {what} is too long ({length} bytes); ask with a shorter audience or fewer scopes"
    )]
    TooLong { what: &'static str, length: usize },
    #[error(
        "the metadata server at {server} does not give {what} for what was asked (status 400: {words}); correct the question"
    )]
    BadRequest {
        server: SocketAddr,
        what: &'static str,
        words: String,
    },
    #[error(
        "the metadata server at {server} refuses {what} (status {status}: {words}); see what this VM may have"
    )]
    Refused {
        server: SocketAddr,
        what: &'static str,
        status: u16,
        words: String,
    },
    #[error(
        "the metadata server at {server} gives no token with the scopes {asked} ({words}); ask for scopes that the VM's account has there, give the \
         VM these scopes, or set tokens.source: {{ impersonate: … }}"
    )]
    NotAmongTheAccounts {
        server: SocketAddr,
        asked: String,
        words: String,
    },
    #[error(
        "the metadata server at {server} gives tokens with all scopes of the VM only, and no wider token is handed out than was asked for ({asked}); \
         either use a platform that knows enforce_scopes, or set tokens.source: {{ impersonate: … }}"
    )]
    NoEnforcement { server: SocketAddr, asked: String },
    #[error(
        "the metadata server at {server} gave a token with the scopes ({given}) where ({asked}) were asked for, which is not handed on; ask for \
         scopes that the account has"
    )]
    Scopes {
        server: SocketAddr,
        asked: String,
        given: String,
    },
    #[error(
        "the ID token of the metadata server at {server} is for the audience {given:?}, not for {asked:?}, and is not handed on"
    )]
    Audience {
        server: SocketAddr,
        asked: String,
        given: String,
    },
    #[error(
        "the {what} of the metadata server at {server} is not shown to be bound as was asked for, and no weaker one is handed on; use a platform \
         that binds tokens, or ask without the binding"
    )]
    NotBound {
        server: SocketAddr,
        what: &'static str,
        #[source]
        source: BindingError,
    },
    #[error(
        "the answer of the metadata server at {server} to the question for {what} is not usable; see what answers there"
    )]
    Answer {
        server: SocketAddr,
        what: &'static str,
        #[source]
        source: AnswerError,
    },
    #[error(
        "the metadata server at {server} answered the question for {what} with status {status}, which nobody expects; it is asked again"
    )]
    Status {
        server: SocketAddr,
        what: &'static str,
        status: u16,
    },
    #[error(
        "the ID token of the metadata server at {server} has expired already; compare this machine's clock with the platform's (timedatectl)"
    )]
    Expired { server: SocketAddr },
    #[error("this machine has no usable clock, so no token's end is known; set the clock")]
    NoClock,
}

impl ServerError {
    pub(in crate::tokens) fn failure(&self) -> Failure {
        match self {
            Self::NoAccount { .. } | Self::AccountName { .. } => Failure::NoAccount,
            Self::ScopeName { .. } | Self::TooLong { .. } | Self::BadRequest { .. } => Failure::BadRequest,
            Self::Talk { source, .. } if matches!(**source, MetadataError::Path { .. }) => {
                Failure::BadRequest
            }
            Self::Refused { .. }
            | Self::NotAmongTheAccounts { .. }
            | Self::NoEnforcement { .. }
            | Self::Scopes { .. }
            | Self::NotBound { .. }
            | Self::Audience { .. } => Failure::Refused,
            Self::Busy {
                retry_after: Some(retry_after),
                ..
            } => Failure::Unavailable {
                retry_after: *retry_after,
            },
            // Who repairs the server or the network changes no question: it may be there later.
            Self::Busy { .. }
            | Self::Talk { .. }
            | Self::Answer { .. }
            | Self::Status { .. }
            | Self::Expired { .. }
            | Self::NoClock => Failure::LATER,
        }
    }
}
