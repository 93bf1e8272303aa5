//! Peers who use up what a server has: heads without an end, and heads that take their time.
use super::*;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What an HTTP/2 client begins with.
fn begin() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, b"")].concat()
}

async fn is_served(web: &Web) {
    let answer = web
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

fn ended(reason: &str) -> String {
    format!("proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}")
}

/// CVE-2024-27316 and its kind.
#[tokio::test]
async fn a_head_of_http2_that_never_ends_ends_the_connection_and_disturbs_nobody() {
    let app = Witness::start().await;
    // A field of one letter, in the plainest form of HPACK.
    let fields = b"\x00\x01a\x01b".repeat(1000);
    for (number, payload) in [&b""[..], &fields].into_iter().enumerate() {
        let web = Web::new(app.address, "http: true");
        let mut client = web.connect(b"h2").await;
        client.write_all(&begin()).await.unwrap();
        client.write_all(&frame(HEADERS, 0, 1, payload)).await.unwrap();
        is_served(&web).await;
        let piece = frame(CONTINUATION, 0, 1, payload).repeat(10);
        let mut sent = 0;
        let mut write = async || {
            tokio::time::timeout(PATIENCE, client.write_all(&piece))
                .await
                .expect("stuck")
        };
        while write().await.is_ok() {
            sent += piece.len();
            assert!(sent < 16 << 20, "all of it is taken");
            tokio::task::yield_now().await;
        }
        web.counts(&ended("http"), 1).await;
        is_served(&web).await;
        assert_eq!(app.seen().len(), 2 * (number + 1), "nothing of it goes on");
    }
}

/// Waits until mwid has read so many plain bytes. Does not rest: a paused clock would go on by itself.
async fn is_read(web: &Web, bytes: usize) {
    let line = "proxy_bytes_total{route=\"in\",direction=\"received\"}";
    let begun = std::time::Instant::now();
    while web.site.metric(line) != Some(bytes.to_string()) {
        assert!(begun.elapsed() < PATIENCE, "{bytes} bytes are not read");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_half_a_minute() {
    let app = Witness::start().await;
    let head = b"GET /a-path-that-takes-more-than-half-a-minute HTTP/1.1\r\n";
    let block = frame(HEADERS, 5, 1, &[0x82; 60]);
    let open = [begin(), frame(HEADERS, 1, 1, &[0x82])].concat();
    let follows = frame(CONTINUATION, 4, 1, &[0x82; 60]);
    for (alpn, at_once, slowly) in [
        (&b"http/1.1"[..], &b""[..], &head[..]),
        (b"h2", &begin(), &block),
        (b"h2", &open, &follows),
    ] {
        let web = Web::new(app.address, "http: true");
        let mut client = web.connect(alpn).await;
        client.write_all(at_once).await.unwrap();
        is_read(&web, at_once.len()).await;
        tokio::time::pause();
        let mut seconds = 0;
        for (number, byte) in slowly.iter().enumerate() {
            if client.write_all(&[*byte]).await.is_err() {
                break;
            }
            is_read(&web, at_once.len() + number + 1).await;
            advance(SECOND).await;
            seconds += 1;
            // It has not moved on if it is not over.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            if web.site.metric(&ended("slow_head")).is_some() {
                break;
            }
        }
        tokio::time::resume();
        assert!((29..=31).contains(&seconds), "{seconds}");
        web.counts(&ended("slow_head"), 1).await;
        assert_eq!(app.seen(), [""; 0]);
    }
}

#[tokio::test]
async fn a_connection_that_only_rests_owes_no_head() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    let mut one = web.connect(b"http/1.1").await;
    let mut two = streams::speak(&web).await;
    for number in 1..=3 {
        one.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        raw::head(&mut one).await;
        one.read_u16().await.unwrap();
        let request = hyper::Request::get("https://a.test/")
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())
            .unwrap();
        assert_eq!(two.send_request(request).await.unwrap().status(), 200);
        web.counts(
            "proxy_http_requests_total{route=\"in\",class=\"2xx\"}",
            2 * number,
        )
        .await;
        tokio::time::pause();
        advance(3600 * SECOND).await;
        tokio::time::resume();
    }
}

/// To an application that speaks HTTP/1.1 alone, what is in a frame could be a request.
#[tokio::test]
async fn nothing_of_a_request_goes_in_http2_to_an_application_that_does_not_speak_it() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut sender = streams::speak(&web).await;
    let evil = "GET /evil HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: evil\r\n\r\n";
    let request = hyper::Request::post("https://a.test/")
        .header("content-type", "application/grpc")
        .header("x-a", "evil")
        .body(http_body_util::Full::new(hyper::body::Bytes::from(evil)))
        .unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    let mut server = app.accept().await;
    let mut got = vec![0; 14];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, b"PRI * HTTP/2.0");
    server
        .write_all(b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    // Everything that comes, to its end.
    let read = async { while let Ok(1..) = server.read_buf(&mut got).await {} };
    tokio::time::timeout(PATIENCE, read).await.expect("it is kept");
    assert!(!String::from_utf8_lossy(&got).contains("/evil"), "{got:?}");
    assert_eq!(answer.await.unwrap().unwrap().status(), 502);
    let line = "proxy_http_no_answers_total{route=\"in\",reason=\"not_http2\"}";
    web.counts(line, 1).await;
}

/// Of lines that end in LF alone, which RFC 9112, 2.2 lets a server take: what goes on has none.
#[tokio::test]
async fn lines_without_cr_go_on_with_it_or_not_at_all() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    let evil = "GET /evil HTTP/1.1\r\nX-Forwarded-Client-Cert: evil\r\nHost: a\r\n\r\n";
    for request in [
        "GET / HTTP/1.1\nHost: a\nX-Forwarded-Client-Cert: evil\nConnection: close\n\n".to_owned(),
        // A length of one side's making, between lines of the other's.
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: {}\r\nConnection: close\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: {}\r\n\r\n{evil}",
            evil.len()
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\nx\n0\n\n{evil}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;\nx\r\nx\r\n0\r\n\r\n{evil}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0x1\r\nx\r\n0\r\n\r\n{evil}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\nConnection: close\r\n\r\n0\r\n\r\n{evil}"
        ),
    ] {
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer));
        read.await.expect("no end").ok();
        for seen in app.seen() {
            let (head, _) = seen.split_once("\r\n\r\n").unwrap();
            assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{seen:?}");
            assert!(!head.starts_with("GET /evil"), "{request:?} became two");
            assert_eq!(fields(head, "x-forwarded-client-cert"), [said_of(&web.leaf)]);
        }
    }
}
