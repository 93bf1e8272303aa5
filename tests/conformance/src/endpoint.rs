//! Where the server is. In: the text of `SPIFFE_ENDPOINT_SOCKET`, parsed as strictly as the standard says (Workload Endpoint, 4).
//! Out: a plain connection. Never TLS: an endpoint may not demand it.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///absolute/path`.
    Unix(PathBuf),
    /// `tcp://IP:port`.
    Tcp(SocketAddr),
}

/// Why a text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// Neither `unix` nor `tcp`.
    #[error("the scheme must be `unix` or `tcp`, as in unix:///run/agent.sock")]
    Scheme,
    /// `unix://host/path`.
    #[error("a unix endpoint has no authority: three slashes, as in unix:///run/agent.sock")]
    Authority,
    /// `unix:path`.
    #[error("a unix endpoint needs an absolute path")]
    Relative,
    /// `tcp://name:port` or no port.
    #[error("a tcp endpoint is an IP address and a port, as in tcp://127.0.0.1:8000")]
    Address,
    /// A query, a fragment, or the path of a tcp endpoint.
    #[error("an endpoint has no component beyond its path or address")]
    Extra,
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        if text.contains(['?', '#']) {
            return Err(NotAnEndpoint::Extra);
        }
        match text.split_once(':') {
            Some(("unix", rest)) => {
                let path = match rest.strip_prefix("//") {
                    Some(path) if path.starts_with('/') => path,
                    Some(_) => return Err(NotAnEndpoint::Authority),
                    None => rest,
                };
                if !path.starts_with('/') {
                    return Err(NotAnEndpoint::Relative);
                }
                Ok(Self::Unix(PathBuf::from(path)))
            }
            Some(("tcp", rest)) => {
                let address = rest.strip_prefix("//").ok_or(NotAnEndpoint::Address)?;
                if address.contains('/') {
                    return Err(NotAnEndpoint::Extra);
                }
                address.parse().map(Self::Tcp).map_err(|_| NotAnEndpoint::Address)
            }
            _ => Err(NotAnEndpoint::Scheme),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    /// A new connection.
    pub async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_uri_with_nothing_too_much() {
        let unix = |path: &str| Ok(Endpoint::Unix(PathBuf::from(path)));
        assert_eq!("unix:///run/a.sock".parse(), unix("/run/a.sock"));
        assert_eq!("unix:/run/a.sock".parse(), unix("/run/a.sock"));
        let tcp = |address: &str| Ok(Endpoint::Tcp(address.parse().unwrap()));
        assert_eq!("tcp://127.0.0.1:8000".parse(), tcp("127.0.0.1:8000"));
        assert_eq!("tcp://[::1]:8000".parse(), tcp("[::1]:8000"));
        for (text, why) in [
            ("/run/a.sock", NotAnEndpoint::Scheme),
            ("http://127.0.0.1:1", NotAnEndpoint::Scheme),
            ("unix://run/a.sock", NotAnEndpoint::Authority),
            ("unix:run/a.sock", NotAnEndpoint::Relative),
            ("unix:///run/a.sock?x=1", NotAnEndpoint::Extra),
            ("unix:///run/a.sock#x", NotAnEndpoint::Extra),
            ("tcp://localhost:8000", NotAnEndpoint::Address),
            ("tcp://127.0.0.1", NotAnEndpoint::Address),
            ("tcp://127.0.0.1:8000/foo", NotAnEndpoint::Extra),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(why), "{text}");
        }
    }
}
