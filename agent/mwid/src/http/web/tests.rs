//! Servers that are who they say, and such that are not.
use super::*;
use crate::report::Causes;
use pki_types::pem::PemObject as _;
use pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;
use rustls::time_provider::DefaultTimeProvider;
use std::error::Error as _;
use testkit::pki::{Ca, LeafSpec, Validity};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const ANSWER: &str = "HTTP/1.1 200 x\r\ncontent-length: 5\r\nx-seen: yes\r\n\r\nhello";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn client(root: &Ca, proxies: &Proxies) -> Client {
    let roots = Roots::These(vec![CertificateDer::from(root.cert_der.clone())]);
    Client::new(provider(), Arc::new(DefaultTimeProvider), proxies, roots)
}

fn acceptor(issuer: &Ca, name: &str, validity: Option<Validity>) -> TlsAcceptor {
    let mut spec = LeafSpec::new("spiffe://unused/x");
    spec.uris.clear();
    spec.dns = vec![name.to_owned()];
    spec.validity = validity.unwrap_or(spec.validity);
    let leaf = issuer.leaf(&spec);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.leaf_der)],
            PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut asked = vec![];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
    }
    String::from_utf8(asked).unwrap()
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, with: &str) -> String {
    let asked = head(&mut stream).await;
    stream.write_all(with.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
    asked
}

/// Asks `localhost`; what was answered, and what the server saw.
async fn ask(client: &Client, acceptor: TlsAcceptor) -> (Result<Answer, WebError>, Option<String>) {
    let (listener, port) = listener().await;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.ok()?;
        Some(answer(stream, ANSWER).await)
    });
    let url = Url::parse(&format!("https://localhost:{port}/p/q?code=hidden")).unwrap();
    let answer = client.send(Call::get(&url)).await;
    (answer, serving.await.unwrap())
}

fn told<T: std::fmt::Debug>(done: Result<T, WebError>) -> String {
    let error = done.unwrap_err();
    let text = Causes(&error).to_string();
    assert!(
        !text.contains("hidden") && !format!("{error:?}").contains("hidden"),
        "{text} {error:?}"
    );
    text
}

#[tokio::test]
async fn a_server_that_proves_its_name_is_asked() {
    let root = Ca::root("web.example");
    let client = client(&root, &Proxies::default());
    let (answer, asked) = ask(&client, acceptor(&root, "localhost", None)).await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (StatusCode::OK, &b"hello"[..])
    );
    assert_eq!(answer.headers["x-seen"], "yes");
    let asked = asked.unwrap();
    assert!(
        asked.starts_with("GET /p/q?code=hidden HTTP/1.1\r\nhost: localhost:"),
        "{asked}"
    );
    assert!(asked.contains("user-agent: mwid/"), "{asked}");
    assert!(!format!("{answer:?}").contains("hello"));
}

#[tokio::test]
async fn a_server_that_does_not_is_told_nothing() {
    let root = Ca::root("web.example");
    let client = client(&root, &Proxies::default());
    let past = Validity {
        from: -7200,
        to: -3600,
    };
    for (acceptor, why) in [
        (acceptor(&root, "sts.googleapis.com", None), "not valid for name"),
        (
            acceptor(&Ca::root("web.example"), "localhost", None),
            "invalid peer certificate",
        ),
        (acceptor(&root, "localhost", Some(past)), "expired"),
    ] {
        let (answer, asked) = ask(&client, acceptor).await;
        assert_eq!(asked, None, "{why}");
        let error = answer.as_ref().unwrap_err();
        assert!(
            matches!(error, WebError::Tls { .. }) && error.source().is_some(),
            "{error:?}"
        );
        let text = told(answer);
        assert!(text.contains(why), "{why}: {text}");
    }
}

#[tokio::test]
async fn without_roots_nobody_is_believed() {
    let nobody = Client::new(
        provider(),
        Arc::new(DefaultTimeProvider),
        &Proxies::default(),
        Roots::These(vec![]),
    );
    let url = Url::parse("https://127.0.0.1:1/").unwrap();
    let text = told(nobody.send(Call::get(&url)).await);
    assert!(text.contains("ca-certificates"), "{text}");
}

#[tokio::test]
async fn a_proxy_leads_to_the_server_and_sees_nothing() {
    let root = Ca::root("web.example");
    let (listener, port) = listener().await;
    let proxies = |no: Option<&str>| Proxies {
        https: Some(format!("http://user:hidden@127.0.0.1:{port}")),
        no: no.map(str::to_owned),
    };
    assert!(!format!("{:?}", proxies(None)).contains("hidden"));
    let acceptor = acceptor(&root, "sts.test", None);
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        answer(acceptor.accept(stream).await.unwrap(), ANSWER).await;
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 403 hidden\r\n\r\n").await.unwrap();
        asked
    });
    let through = client(&root, &proxies(None));
    let url = Url::parse("https://sts.test/v1/token").unwrap();
    assert_eq!(through.send(Call::get(&url)).await.unwrap().status, 200);
    let text = told(through.send(Call::get(&url)).await);
    assert!(
        text.contains(&format!("the proxy 127.0.0.1:{port} does not lead")),
        "{text}"
    );
    let asked = serving.await.unwrap();
    assert!(asked.starts_with("CONNECT sts.test:443 HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked
            .to_lowercase()
            .contains("proxy-authorization: basic dxnlcjpoawrkzw4="),
        "{asked}"
    );
    // Whom NO_PROXY names is asked directly.
    let direct = client(&root, &proxies(Some("localhost")));
    let (answer, _) = ask(&direct, self::acceptor(&root, "localhost", None)).await;
    answer.unwrap();
    let other = Proxies {
        https: Some("socks5://user:hidden@127.0.0.1:1".to_owned()),
        no: None,
    };
    let text = told(client(&root, &other).send(Call::get(&url)).await);
    assert!(text.contains("\"socks5\""), "{text}");
}

#[tokio::test]
async fn plain_http_is_for_this_machine_and_answers_are_bounded() {
    let root = Ca::root("web.example");
    let client = client(&root, &Proxies::default());
    for (with, why) in [
        (
            "HTTP/1.1 200 x\r\ncontent-length: 262145\r\n\r\n",
            "larger than the allowed 262144",
        ),
        ("HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nhid", "broke off"),
        ("hidden", "broke off"),
    ] {
        let (listener, port) = listener().await;
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, with).await
        });
        let url = Url::parse(&format!("http://localhost:{port}/token")).unwrap();
        let form = Form::new().with_secret("token", "a&b");
        let done = client.send(Call::form(&url, &form)).await;
        let text = told(done);
        assert!(text.contains(why), "{why}: {text}");
        let asked = serving.await.unwrap();
        assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_waited_for() {
    let client = client(&Ca::root("web.example"), &Proxies::default());
    let (listener, port) = listener().await;
    let url = Url::parse(&format!("http://127.0.0.1:{port}/token?a=hidden")).unwrap();
    let asking = client.send(Call::get(&url));
    let (done, _kept) = tokio::join!(asking, listener.accept());
    let text = told(done);
    assert!(text.contains("/token within 10s"), "{text}");
}
