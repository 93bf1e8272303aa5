//! Why a call has no answer. Never shows a part of a message.
use crate::grpc::frame::Broken;
use crate::grpc::status::Status;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the HTTP/2 connection failed")]
    Http(#[source] h2::Error),
    #[error("{method} cannot be asked for")]
    Request {
        method: &'static str,
        #[source]
        source: hyper::http::Error,
    },
    #[error(
        "who answers is no gRPC service: HTTP status {status}, or another content type; correct the address"
    )]
    NotGrpc { status: u16 },
    #[error("it was refused with {0}")]
    Refused(Status),
    #[error("the answer ended without a status")]
    NoStatus,
    #[error("the answer has no message")]
    NoMessage,
    #[error("the answer has more than the one message of the method")]
    MoreMessages,
    #[error("the answer is not usable")]
    Message(#[source] Broken),
}

impl From<Broken> for CallError {
    fn from(broken: Broken) -> Self {
        Self::Message(broken)
    }
}
