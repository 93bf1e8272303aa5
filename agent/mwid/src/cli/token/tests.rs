//! What a daemon is asked, and what of its answers is shown.
use super::*;
use crate::cli::args::{IdArgs, TokenFormat};
use crate::config::{self, Settings};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

fn id(audience: &str, format: TokenFormat, licenses: bool) -> Result<String, Failure> {
    question::id(&IdArgs {
        at: args::At::default(),
        audience: audience.to_owned(),
        format,
        licenses,
    })
}

#[test]
fn questions_are_those_of_googles_clients() {
    let account = "instance/service-accounts/default";
    assert_eq!(question::access(&[]), format!("{account}/token"));
    assert_eq!(
        question::access(&["https://x/auth/a.b_c".to_owned(), "openid".to_owned()]),
        format!("{account}/token?scopes=https%3A%2F%2Fx%2Fauth%2Fa.b_c%2Copenid")
    );
    assert_eq!(
        id("https://a/?b=c&d#e ä", TokenFormat::Standard, false).unwrap(),
        format!("{account}/identity?audience=https%3A%2F%2Fa%2F%3Fb%3Dc%26d%23e%20%C3%A4&format=standard")
    );
    let full = id("a", TokenFormat::Full, false).unwrap();
    assert!(full.ends_with("&format=full"), "{full}");
    let licenses = id("a", TokenFormat::Full, true).unwrap();
    assert!(licenses.ends_with("&format=full&licenses=TRUE"), "{licenses}");
    let failure = id("a", TokenFormat::Standard, true).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
}

fn told(status: u16, body: &str) -> Told {
    Told {
        status: StatusCode::from_u16(status).unwrap(),
        body: Zeroizing::new(body.as_bytes().to_vec()),
    }
}

#[test]
fn a_token_stands_alone_on_its_line() {
    let json = r#"{"access_token":"ya29.a-b_c","expires_in":3599,"token_type":"Bearer"}"#;
    assert_eq!(
        line(Kind::Access, &told(200, json)).unwrap().as_str(),
        "ya29.a-b_c\n"
    );
    for jwt in ["ey.J.x", "ey.J.x\n"] {
        assert_eq!(line(Kind::Id, &told(200, jwt)).unwrap().as_str(), "ey.J.x\n");
    }
}

#[test]
fn what_is_no_token_is_not_shown() {
    for (kind, body) in [
        (Kind::Access, "\"SECRET\""),
        (Kind::Access, "SECRET"),
        (Kind::Access, "{\"access_token\":7,\"x\":\"SECRET\"}"),
        (Kind::Access, "{\"access_token\":\"SECRET\\n\"}"),
        (Kind::Access, "{\"access_token\":\"\"}"),
        (Kind::Id, ""),
        (Kind::Id, "SECRET two"),
        (Kind::Id, "SECRET\x1b[2J"),
    ] {
        let failure = line(kind, &told(200, body)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Data, "{body}");
        let words = format!("{} {failure:?}", crate::report::Causes(&failure));
        assert!(!words.contains("SECRET"), "{words}");
    }
}

#[test]
fn a_refusal_is_told_in_the_daemons_words_with_the_code_that_fits_it() {
    for (status, exit) in [
        (403, Exit::Permission),
        (503, Exit::TryAgain),
        (429, Exit::TryAgain),
        (404, Exit::Unavailable),
        (400, Exit::Unavailable),
        (500, Exit::Data),
        (301, Exit::Data),
    ] {
        let failure = line(Kind::Id, &told(status, "granted: a &amp; &lt;b&gt;, &amp;lt;\n")).unwrap_err();
        assert_eq!(failure.exit(), exit, "{status}");
        assert_eq!(failure.to_string(), "granted: a & <b>, &lt;");
    }
    let steering = line(Kind::Id, &told(403, "no\x1b[2J")).unwrap_err();
    assert_eq!(steering.to_string(), "no\\u{1b}[2J");
    let page = line(Kind::Access, &told(404, "<!DOCTYPE html>\n<p>404")).unwrap_err();
    assert!(page.to_string().contains("no service account"), "{page}");
    let bare = line(Kind::Access, &told(502, "")).unwrap_err();
    assert_eq!(bare.to_string(), "the daemon answered 502 Bad Gateway");
}

#[test]
fn the_socket_is_asked_before_an_address() {
    let place = |text: &str| {
        let text = format!("runtime_dir: /r\napi: {{ metadata: {{ {text} }} }}");
        Place::of(&config::parse(&text, Path::new("f.yaml")).unwrap())
    };
    assert_eq!(
        place("mode: \"0600\"").unwrap(),
        Place::Unix("/r/metadata.sock".into())
    );
    assert_eq!(
        place("socket: off").unwrap(),
        Place::Tcp("127.0.0.1:8174".parse().unwrap())
    );
    assert_eq!(
        place("socket: off, listen: [\"127.0.0.1:9\", \"unix:m\"]").unwrap(),
        Place::Unix("/r/m".into())
    );
    let failure = place("socket: off, listen: \"systemd:x\"").unwrap_err();
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert!(failure.to_string().contains("api.metadata"), "{failure}");
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-length: 5\r\n\r\ney.J.";

/// Answers one request, and gives it back in lower case.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
    }
    stream.write_all(ANSWER.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn both_doors_are_asked_as_a_metadata_server() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("m.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let place = Place::Unix(socket);
    let (told, asked) = tokio::join!(ask::ask(&place, "a/b?c=d"), async {
        answer(unix.accept().await.unwrap().0).await
    });
    let on_unix = (told.unwrap(), asked);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(tcp.local_addr().unwrap());
    let (told, asked) = tokio::join!(ask::ask(&place, "a/b?c=d"), async {
        answer(tcp.accept().await.unwrap().0).await
    });
    for (told, asked) in [on_unix, (told.unwrap(), asked)] {
        assert_eq!(
            (told.status, told.body.as_slice()),
            (StatusCode::OK, &b"ey.J."[..])
        );
        assert!(
            asked.starts_with("get /computemetadata/v1/a/b?c=d http/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("\r\nmetadata-flavor: google\r\n"), "{asked}");
        assert_eq!(asked.matches("\r\nhost:").count(), 1, "{asked}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let unix = Place::of(&Settings::in_runtime_dir(dir.path())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = Place::Tcp(listener.local_addr().unwrap());
    drop(listener);
    for place in [unix, tcp] {
        let Err(failure) = ask::ask(&place, "x").await else {
            panic!("somebody answers at {place:?}")
        };
        assert_eq!(failure.exit(), Exit::Unavailable, "{place:?}");
        let words = crate::report::Causes(&failure).to_string();
        assert!(words.contains("mwid does not run"), "{words}");
    }
}
