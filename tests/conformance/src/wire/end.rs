//! How a call ended: HTTP status, gRPC status and where they stood.
use http::HeaderMap;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

impl Code {
    /// 0
    pub const OK: Self = Self(0);
    /// 3
    pub const INVALID_ARGUMENT: Self = Self(3);
    /// 7
    pub const PERMISSION_DENIED: Self = Self(7);
    /// 8
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// 12
    pub const UNIMPLEMENTED: Self = Self(12);
    /// 13
    pub const INTERNAL: Self = Self(13);
    /// 14
    pub const UNAVAILABLE: Self = Self(14);
    /// 16
    pub const UNAUTHENTICATED: Self = Self(16);
}

const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// The end of a call.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// `:status`, if headers came.
    pub http: Option<u16>,
    /// `content-type`.
    pub content_type: Option<String>,
    /// `grpc-status`, wherever it stood.
    pub code: Option<Code>,
    /// `grpc-message` as it stood on the wire.
    pub raw_message: Option<Vec<u8>>,
    /// Whether the status stood in a block of trailers.
    pub in_trailers: bool,
    /// Whether the response's headers were its end.
    pub trailers_only: bool,
    /// `grpc-accept-encoding`.
    pub accept_encoding: Option<String>,
    /// The stream or the connection broke.
    pub broken: Option<String>,
}

impl End {
    pub(super) fn broken(mut self, why: &h2::Error) -> Self {
        self.broken = Some(why.to_string());
        self
    }

    /// What the response's first headers say.
    pub(super) fn of_head(head: &http::response::Parts, ends: bool) -> Self {
        let mut end = Self {
            http: Some(head.status.as_u16()),
            content_type: text(&head.headers, "content-type"),
            accept_encoding: text(&head.headers, "grpc-accept-encoding"),
            trailers_only: ends,
            ..Self::default()
        };
        if ends {
            end.status(&head.headers);
        }
        end
    }

    pub(super) fn with_trailers(mut self, trailers: &HeaderMap) -> Self {
        self.in_trailers = true;
        self.status(trailers);
        self
    }

    fn status(&mut self, headers: &HeaderMap) {
        self.code = text(headers, "grpc-status").and_then(|code| code.parse().ok().map(Code));
        self.raw_message = headers.get("grpc-message").map(|m| m.as_bytes().to_vec());
        self.accept_encoding = text(headers, "grpc-accept-encoding").or(self.accept_encoding.take());
    }

    /// Whether this is a status that says no, or nothing that a client could take for a yes.
    pub fn refused(&self) -> bool {
        self.code != Some(Code::OK)
    }

    /// The status' message, decoded for people.
    pub fn message(&self) -> String {
        self.raw_message
            .as_deref()
            .map(|raw| String::from_utf8_lossy(raw).replace("%20", " "))
            .unwrap_or_default()
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, &self.broken, self.http) {
            (Some(code), ..) if self.raw_message.is_some() => write!(f, "{code} ({})", self.message()),
            (Some(code), ..) => write!(f, "{code}"),
            (None, Some(why), _) => write!(f, "broken off ({why})"),
            (None, None, Some(http)) => write!(f, "HTTP {http} without a gRPC status"),
            (None, None, None) => f.write_str("nothing"),
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}
