//! A way to a server. In: a URL. Out: an open stream, encrypted and with the server's name proven for https. Keeps no connection.
use super::{Roots, Url, WebError};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use mtls_identity::Clock;
use pki_types::{CertificateDer, ServerName};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// For all addresses of a name together; they are tried side by side by family (RFC 8305).
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn tcp(url: &Url, proxy: Option<Intercept>) -> Result<TcpStream, WebError> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    direct.set_nodelay(true);
    direct.set_connect_timeout(Some(CONNECT_WITHIN));
    let Some(proxy) = proxy else {
        let stream = call(&mut direct, url).await.map_err(|source| WebError::Connect {
            url: url.clone(),
            source: source.into(),
        })?;
        return stays_near(stream, url);
    };
    if proxy.uri().scheme_str() != Some("http") {
        return Err(WebError::ProxyScheme {
            scheme: proxy.uri().scheme_str().unwrap_or_default().to_owned(),
        });
    }
    let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    call(&mut tunnel, url).await.map_err(|source| WebError::Proxy {
        url: url.clone(),
        // Host and port: a password is no part of it.
        proxy: format!(
            "{}:{}",
            proxy.uri().host().unwrap_or_default(),
            proxy.uri().port_u16().unwrap_or(80)
        ),
        source: source.into(),
    })
}

async fn call<S, E>(service: &mut S, url: &Url) -> Result<TcpStream, E>
where
    S: Service<hyper::Uri, Response = hyper_util::rt::TokioIo<TcpStream>, Error = E>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    let stream = service.call(url.uri().clone()).await?;
    Ok(stream.into_inner())
}

/// A plain connection by the name `localhost` must have ended on this machine, whatever a resolver says.
fn stays_near(stream: TcpStream, url: &Url) -> Result<TcpStream, WebError> {
    let by_name = !url.is_https() && url.host().eq_ignore_ascii_case("localhost");
    if by_name && !stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
        return Err(WebError::LedAway { url: url.clone() });
    }
    Ok(stream)
}

pub(super) async fn tls(
    url: &Url,
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, WebError> {
    let failed = |source| WebError::Tls {
        url: url.clone(),
        source,
    };
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(failed)
}

/// Reads the roots, which may be a file of 300 KB: not for a thread that others wait for.
pub(super) fn config(
    roots: &Roots,
    provider: Arc<CryptoProvider>,
    clock: Clock,
) -> Result<Arc<ClientConfig>, WebError> {
    let (certificates, error) = match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            (found.certs, found.errors.into_iter().next())
        }
        #[cfg(test)]
        Roots::These(certificates) => (certificates.clone(), None),
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates as Vec<CertificateDer<'static>>);
    if usable == 0 {
        return Err(WebError::NoRoots {
            source: error.map(Box::new),
        });
    }
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .map_err(WebError::Provider)?
        .with_root_certificates(store)
        .with_no_client_auth();
    // One question an hour: a kept session would gain nothing.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
