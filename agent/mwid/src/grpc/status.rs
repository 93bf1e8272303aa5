//! How a call ended. In: a code and a message; or trailers. Out: trailers; or a code and a message. Never a number out of range as a code of
//! our own.
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;

/// The name of the code's trailer.
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The most of a server's message that is kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Code(u8);

macro_rules! codes {
    ($($name:ident = $number:literal)*) => {
        impl Code {
            $(
                #[allow(dead_code, clippy::allow_attributes, reason = "gRPC has more codes than are given here")]
                pub(crate) const $name: Self = Self($number);
            )*
            /// By number, as gRPC's page "Status codes and their use" lists them.
            const NAMES: &[&str] = &[$(stringify!($name)),*];
        }
    };
}

codes! {
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16
}

impl Code {
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// Null for what no code of gRPC is.
    pub(super) fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0)).copied()
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::NAMES.len()).map(Self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// How a call ended, and why if it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    /// For who called: says what failed and what to do, and nothing that he may not know.
    pub(crate) message: Cow<'static, str>,
    /// What its client has not taken of the answer before may not follow. Is not sent.
    takes_back: bool,
}

impl Status {
    pub(super) const OK: Self = Self {
        code: Code::OK,
        message: Cow::Borrowed(""),
        takes_back: false,
    };

    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            takes_back: false,
        }
    }

    /// The same for one who may not have, for whatever reason, what he was given before.
    pub(crate) fn taking_back(self) -> Self {
        Self {
            takes_back: true,
            ..self
        }
    }

    pub(super) fn takes_back(&self) -> bool {
        self.takes_back
    }

    /// Adds the status to trailers, or to a head without a body.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(STATUS, HeaderValue::from(u16::from(self.code.0)));
        if !self.message.is_empty()
            && let Ok(message) = HeaderValue::try_from(encoded(&self.message))
        {
            headers.insert(MESSAGE, message);
        }
    }

    /// As trailers or a head say it; none if they do not.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get(STATUS)?.to_str().ok()?.parse().ok()?;
        let message = headers.get(MESSAGE).map_or(&b""[..], |text| text.as_bytes());
        Some(Self::new(Code(code), plain(message)))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.code, self.message)
    }
}

/// What is not printable ASCII is written as `%XX`, and the percent sign itself.
fn encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
            plain => text.push(char::from(plain)),
        }
    }
    text
}

/// The other way; what is encoded wrongly stays as it is.
fn plain(encoded: &[u8]) -> String {
    let hex = |byte: Option<&u8>| {
        byte.and_then(|b| char::from(*b).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut bytes = Vec::new();
    let mut rest = encoded;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, hex(tail.first()), hex(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes)
        .chars()
        .take(LONGEST_MESSAGE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_and_is_printable_on_the_way() {
        for message in [
            "",
            "no identity issued",
            "100% \u{fc}bel\r\n\u{7f}\u{1f600}",
            "%41",
        ] {
            let mut headers = HeaderMap::new();
            let status = Status::new(Code::PERMISSION_DENIED, message);
            status.write(&mut headers);
            assert_eq!(headers.get("grpc-status").unwrap(), "7");
            let wire = headers.get("grpc-message").map(|m| m.to_str().unwrap());
            assert!(
                wire.unwrap_or_default()
                    .bytes()
                    .all(|b| (b' '..0x7f).contains(&b))
            );
            assert_eq!(Status::read(&headers).unwrap(), status, "{wire:?}");
        }
        assert_eq!(encoded("a%\n\u{e9}"), "a%25%0A%C3%A9");
    }

    #[test]
    fn what_is_no_status_is_none() {
        for wrong in ["", "x", "-1", "256", "0x1"] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, HeaderValue::from_static(wrong));
            assert_eq!(Status::read(&headers), None, "{wrong}");
        }
        assert_eq!(Status::read(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from_static("99"));
        assert_eq!(Status::read(&headers).unwrap().code.to_string(), "status 99");
        assert_eq!(Code::UNAUTHENTICATED.to_string(), "UNAUTHENTICATED");
        assert_eq!(Code::all().last(), Some(Code::UNAUTHENTICATED));
    }
}
