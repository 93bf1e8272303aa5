//! Where a Workload API is. In: what SPIFFE_ENDPOINT_SOCKET or a person says. Out: a place to connect to. Never a place beyond this machine's own
//! network by a name: only addresses are taken.
//! Follows SPIFFE Workload Endpoint, section 4.
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Why a text names no place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("{0:?} is no place of a Workload API: write unix:///ABSOLUTE/PATH or tcp://IP:PORT")]
    Form(String),
}

impl Endpoint {
    /// `unix:///path`, `unix:/path`, a bare absolute path, or `tcp://IP:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Form(text.to_owned());
        if let Some(address) = text.strip_prefix("tcp://") {
            return address.parse().map(Self::Tcp).map_err(|_| wrong());
        }
        let Some(path) = text.strip_prefix("unix:") else {
            let path = Path::new(text);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path.to_owned())),
                false => Err(wrong()),
            };
        };
        // No authority: after two slashes comes the path's own. What follows the path of a URI is no path.
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(wrong());
        }
        let path = decoded(path).ok_or_else(wrong)?;
        Ok(Self::Unix(OsString::from_vec(path).into()))
    }
}

/// The bytes of a URI's path (RFC 3986, section 2.1).
fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match first {
            b'%' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                rest = tail;
                let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
                u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?
            }
            plain => *plain,
        });
    }
    Some(bytes)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod endpoint_tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        for (text, said) in [
            ("unix:///run/mwid/workload.sock", "unix:///run/mwid/workload.sock"),
            ("unix:/run/a b", "unix:///run/a b"),
            ("unix:///run/a%20b%25", "unix:///run/a b%"),
            ("/run/a%20b", "unix:///run/a%20b"),
            ("/run/x", "unix:///run/x"),
            ("tcp://127.0.0.1:8081", "tcp://127.0.0.1:8081"),
            ("tcp://[::1]:8081", "tcp://[::1]:8081"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), said);
        }
        for wrong in [
            "",
            "unix:",
            "unix://run/x",
            "unix:run/x",
            "run/x",
            "unix:///run/x?y",
            "unix:///run/x#y",
            "unix:///run/%",
            "unix:///run/%0",
            "unix:///run/%+1",
            "unix:///run/%00",
            "tcp://localhost:1",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:1/x",
            "http://127.0.0.1:1",
        ] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
