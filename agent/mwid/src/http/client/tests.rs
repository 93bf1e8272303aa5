//! What a client sees of daemons that are absent, dead, silent or talk too much.
use super::*;
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

async fn get(socket: &Path) -> Result<Answered, ClientError> {
    ask(Ask {
        socket,
        method: &Method::GET,
        path: "/status",
        accept: "application/json",
        headers: &[("metadata-flavor", "Google")],
        timeout: Duration::from_secs(10),
        limit: 1000,
    })
    .await
}

/// Asks a daemon that answers with these bytes and then closes, or, if told so, stays.
async fn get_from(answer: &str, stays: bool) -> Result<Answered, ClientError> {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
        }
        let asked = String::from_utf8(asked).unwrap();
        assert!(asked.starts_with("GET /status HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("host: localhost\r\n") && asked.contains("accept: application/json\r\n"));
        assert!(asked.contains("\r\nmetadata-flavor: Google\r\n"), "{asked}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stays.then_some(stream)
    };
    let (answered, _stream) = tokio::join!(get(&socket), daemon);
    answered
}

#[tokio::test]
async fn an_answer_is_read_whole_in_each_of_its_forms() {
    for (answer, stays) in [
        ("HTTP/1.1 503 x\r\ncontent-length: 5\r\n\r\nhello", true),
        (
            "HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 503 x\r\n\r\nhello", false),
    ] {
        let answered = get_from(answer, stays).await.unwrap();
        assert_eq!(
            (answered.status.as_u16(), &answered.body[..]),
            (503, &b"hello"[..]),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_absent_a_dead_and_a_forbidden_daemon_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::NoSocket { .. }), "{error}");
    drop(UnixListener::bind(&socket).unwrap());
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    let _listener = {
        std::fs::remove_file(&socket).unwrap();
        UnixListener::bind(&socket).unwrap()
    };
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o0)).unwrap();
    if nix::unistd::geteuid().is_root() {
        println!("skipped: root is never denied by a mode");
        return;
    }
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    for answer in [
        "HTTP/1.1 200 x\r\ncontent-length: 1001\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 x\r\n\r\n{}", "x".repeat(1001)),
    ] {
        let error = get_from(&answer, false).await.unwrap_err();
        let ClientError::Body { source, .. } = error else {
            panic!("{error}")
        };
        assert!(matches!(source, BodyError::TooLarge { limit: 1000 }), "{source}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_says_nothing_or_half_is_not_waited_for_longer_than_asked() {
    for answer in ["", "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nhel"] {
        let began = tokio::time::Instant::now();
        let error = get_from(answer, true).await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let error = get_from("HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\nhel", false)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Body { .. }), "{error}");
    let error = get_from("HTTP/1.1 2", false).await.unwrap_err();
    assert!(matches!(error, ClientError::Http { .. }), "{error}");
}
