//! Client of Compute Engine's metadata server.
//!
//! In: an address and a path. Out: status, headers and body, bounded in time and size; and, in [`certificates`], the VM's
//! identity as the server hands it out; the same over gRPC in [`grpc`]. Never follows a redirect or a proxy, never looks up a name, never retries, and never
//! believes an answer without the header `Metadata-Flavor: Google`.
//! Follows Google's page "View and query VM metadata" (Compute Engine).

mod address;
pub(crate) mod certificates;
mod error;
pub(crate) mod grpc;
#[cfg(test)]
mod tests;

pub(crate) use address::{Environment, Server};
pub(crate) use error::MetadataError;

use crate::http::body::{BodyError, wiped};
use crate::http::client::{TalkError, talk};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

const FLAVOR: &str = "metadata-flavor";
const GOOGLE: &str = "Google";
const ROOT: &str = "/computeMetadata/v1/";

/// The server is in the hypervisor: it answers a connect within a millisecond, or there is none.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// For everything together.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The largest body that is read. The custom metadata of an instance and of a project may have 512 KB each, more in JSON, where a line's end is two
/// bytes and a quote's too.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// Asks one server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    server: SocketAddr,
}

/// What to ask.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Below `computeMetadata/v1/`, with its query, as it goes on the wire.
    pub(crate) path: &'a str,
    /// The body of a POST; none: a GET.
    pub(crate) json: Option<&'a [u8]>,
    /// For everything together.
    pub(crate) within: Duration,
}

impl<'a> Question<'a> {
    /// GET, within the usual time.
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            path,
            json: None,
            within: ANSWER_WITHIN,
        }
    }
}

/// What was answered, whatever the status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// May hold a key or a token: wiped.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    fn is_from_a_metadata_server(&self) -> bool {
        self.headers
            .get(FLAVOR)
            .is_some_and(|flavor| flavor.as_bytes() == GOOGLE.as_bytes())
    }
}

/// Neither headers nor body: those may hold what is nobody's business.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// GET of a path below `computeMetadata/v1/`, with its query. Any status is an answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, MetadataError> {
        self.ask(Question::get(path)).await
    }

    /// Asks once. Any status is an answer.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, MetadataError> {
        let (path, after) = (question.path, question.within);
        match timeout(after, self.exchange(question)).await {
            Ok(done) => done,
            Err(_) => Err(MetadataError::TimedOut {
                server: self.server,
                path: path.to_owned(),
                after,
            }),
        }
    }

    /// The body of a path, if it is there; every status but 200 is an error.
    pub(crate) async fn read(&self, path: &str) -> Result<Zeroizing<Vec<u8>>, MetadataError> {
        let answer = self.get(path).await?;
        if answer.status == StatusCode::OK {
            return Ok(answer.body);
        }
        Err(MetadataError::of_status(self.server, path, &answer))
    }

    async fn exchange(&self, question: Question<'_>) -> Result<Answer, MetadataError> {
        let (server, path) = (self.server, question.path);
        let request = self.request(question)?;
        let stream = connect(server).await?;
        let (head, body) = talk(stream, request, LARGEST_BODY)
            .await
            .map_err(|error| match error {
                TalkError::Http(source) => MetadataError::Http {
                    server,
                    path: path.to_owned(),
                    source,
                },
                TalkError::Body(BodyError::TooLarge { limit }) => MetadataError::TooLarge {
                    server,
                    path: path.to_owned(),
                    limit,
                },
                TalkError::Body(source) => MetadataError::Body {
                    server,
                    path: path.to_owned(),
                    source,
                },
            })?
            .into_parts();
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body: wiped(body),
        };
        if answer.is_from_a_metadata_server() {
            Ok(answer)
        } else {
            Err(MetadataError::NotMetadata {
                server,
                status: answer.status.as_u16(),
            })
        }
    }

    fn request(&self, question: Question<'_>) -> Result<Request<Full<Bytes>>, MetadataError> {
        let Question { path, json, .. } = question;
        let method = if json.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}{path}"))
            .header(HOST, self.server.to_string())
            .header(FLAVOR, HeaderValue::from_static(GOOGLE))
            .header(CONNECTION, HeaderValue::from_static("close"));
        if json.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = json.map(Bytes::copy_from_slice).unwrap_or_default();
        request
            .body(Full::new(body))
            .map_err(|source| MetadataError::Path {
                path: path.to_owned(),
                source,
            })
    }
}

async fn connect(server: SocketAddr) -> Result<TcpStream, MetadataError> {
    match timeout(CONNECT_WITHIN, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(MetadataError::Connect { server, source }),
        Err(_) => Err(MetadataError::NoConnection {
            server,
            after: CONNECT_WITHIN,
        }),
    }
}
