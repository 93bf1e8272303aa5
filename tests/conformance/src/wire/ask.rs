//! What is asked: path, headers and bytes, all of them free.
use super::frame::prefixed;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

/// The metadata key that every request carries (Workload Endpoint, 3).
pub const SECURITY_HEADER: HeaderName = HeaderName::from_static("workload.spiffe.io");

/// A call, before it is made.
#[derive(Clone, Debug)]
pub struct Ask {
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
    ends: bool,
}

impl Ask {
    /// One message and no more, with the headers of a conforming client.
    pub fn one(path: &'static str, message: &impl prost::Message) -> Self {
        Self {
            body: prefixed(0, &message.encode_to_vec()),
            ends: true,
            ..Self::open(path)
        }
    }

    /// A call whose messages come later.
    pub fn open(path: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("spiffe-conformance/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(SECURITY_HEADER, HeaderValue::from_static("true"));
        Self {
            path,
            headers,
            body: Bytes::new(),
            ends: false,
        }
    }

    /// Without one of the headers.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    /// With one more header, also if there is one of that name.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// With these bytes for a body, and nothing after them.
    #[must_use]
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.ends = true;
        self
    }

    /// With these bytes for a body, and more to come.
    #[must_use]
    pub fn begins(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.ends = false;
        self
    }

    pub(super) fn into_parts(self) -> (Request<()>, Bytes, bool) {
        let mut head = Request::new(());
        *head.method_mut() = Method::POST;
        *head.version_mut() = http::Version::HTTP_2;
        *head.uri_mut() = Uri::builder()
            .scheme("http")
            .authority("localhost")
            .path_and_query(self.path)
            .build()
            .unwrap_or_default();
        *head.headers_mut() = self.headers;
        (head, self.body, self.ends)
    }
}
