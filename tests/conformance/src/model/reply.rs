//! Answers of the model.
use super::flaw::Flaw;
use crate::wire::{Code, frame};
use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// A status to end with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal(pub(super) Code, pub(super) &'static str);

/// The way back of one call.
pub(super) struct Reply {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    flaw: Flaw,
    kind: &'static str,
}

impl Reply {
    pub(super) fn new(respond: SendResponse<Bytes>, flaw: Flaw, path: &str) -> Self {
        let odd = flaw.is("grpc.content-type") && path.ends_with("/FetchX509SVID");
        Self {
            respond,
            stream: None,
            flaw,
            kind: if odd {
                "application/json"
            } else {
                "application/grpc"
            },
        }
    }

    fn head(&self, status: StatusCode) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        head.headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        head
    }

    /// Sends a message; headers before the first. `false`: nobody listens any more.
    pub(super) fn bytes(&mut self, message: &[u8]) -> bool {
        if self.stream.is_none() {
            let head = self.head(StatusCode::OK);
            self.stream = self.respond.send_response(head, false).ok();
        }
        self.stream
            .as_mut()
            .is_some_and(|stream| stream.send_data(frame::prefixed(0, message), false).is_ok())
    }

    pub(super) fn message(&mut self, message: &impl prost::Message) -> bool {
        self.bytes(&message.encode_to_vec())
    }

    /// Ends well.
    pub(super) fn end(mut self) {
        let Some(mut stream) = self.stream.take() else {
            return self.refuse(Refusal(Code::OK, ""));
        };
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from_static("0"));
        drop(if self.flaw.is("grpc.trailers") {
            stream.send_data(Bytes::new(), true)
        } else {
            stream.send_trailers(trailers)
        });
    }

    /// Ends badly.
    pub(super) fn refuse(mut self, Refusal(code, why): Refusal) {
        let mut status = HeaderMap::new();
        status.insert(STATUS, HeaderValue::from(code.0));
        let text = if self.flaw.is("grpc.message-encoding") {
            HeaderValue::from_bytes("ungültig: 100% falsch".as_bytes())
        } else {
            HeaderValue::from_str(&why.replace('%', "%25"))
        };
        if let Ok(text) = text {
            status.insert(MESSAGE, text);
        }
        if code == Code::UNIMPLEMENTED {
            status.insert(ACCEPT, HeaderValue::from_static("identity"));
        }
        if let Some(stream) = &mut self.stream {
            drop(stream.send_trailers(status));
            return;
        }
        let http = self.flaw.or(
            "grpc.http-status",
            StatusCode::OK,
            StatusCode::INTERNAL_SERVER_ERROR,
        );
        let mut head = self.head(http);
        head.headers_mut().extend(status);
        drop(self.respond.send_response(head, true));
    }

    /// An answer of the web, not of gRPC.
    pub(super) fn http(mut self, status: StatusCode) {
        self.kind = "text/html";
        let head = self.head(status);
        drop(self.respond.send_response(head, true));
    }

    /// Waits until the client gives the call up.
    pub(super) async fn cancelled(&mut self) {
        std::future::poll_fn(|context| match &mut self.stream {
            Some(stream) => stream.poll_reset(context).map(drop),
            None => self.respond.poll_reset(context).map(drop),
        })
        .await;
    }
}
