//! Bytes of peers who mean no good, and bytes at the application.
use super::*;

pub(super) const XFCC: &str = "x-forwarded-client-cert";

#[tokio::test]
async fn the_application_is_told_of_the_peer_by_us_alone() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    let answer = web
        .send(
            "POST /p?q=1 HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Client-Cert: evil\r\nx-forwarded-client-cert: evil2\r\n\
             X_Forwarded_Client_Cert: evil\r\nX-Forwarded_Client-Cert: evil\r\nX.Forwarded.Client.Cert: evil\r\n\
             Connection: close, X-Forwarded-Client-Cert, X-Hop\r\nX-Hop: evil\r\nKeep-Alive: evil\r\nProxy-Connection: evil\r\n\
             TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Kept: kept\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x_forwarded_client_cert\r\n\r\n\
             3\r\nabc\r\n0\r\nx-sum: 7\r\nx_forwarded_client_cert: evil\r\nX-Forwarded-Client-Cert: evil\r\nContent-Length: 9\r\n\r\n",
        )
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"),
        "{answer}"
    );
    let seen = app.seen();
    let [request] = &seen[..] else { panic!("{seen:?}") };
    assert!(request.starts_with("POST /p?q=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(fields(request, XFCC), [said_of(&web.leaf)]);
    assert_eq!(fields(request, "host"), ["shop.test"]);
    assert_eq!(fields(request, "x-kept"), ["kept"]);
    assert_eq!(fields(request, "x-sum"), ["7"]);
    let body = request.split_once("\r\n\r\n").unwrap().1;
    for gone in [
        "evil",
        "x-hop: ",
        "keep-alive: ",
        "proxy-connection: ",
        "te: ",
        "upgrade: ",
    ] {
        assert!(
            !request.to_lowercase().contains(&format!("\r\n{gone}")) && !request.contains("evil"),
            "{gone} in {request}"
        );
    }
    assert!(!body.to_lowercase().contains("content-length"), "{body}");
}

/// The status of the answer, and what is answered so.
const REFUSED: [(&str, &str); 16] = [
    (
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    ),
    ("400", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx"),
    (
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "501",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "501",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "400",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("400", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
    ("400", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    (
        "400",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert : evil\r\n\r\n",
    ),
    ("400", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
    (
        "400",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    ),
    ("400", "GET / HTTP/1.1\r\nHost: a@b\r\nConnection: close\r\n\r\n"),
    ("400", "GET / HTTP/1.1\r\nHost: a, b\r\nConnection: close\r\n\r\n"),
    (
        "405",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n",
    ),
];

#[tokio::test]
async fn what_two_sides_could_read_in_two_ways_is_refused_or_rewritten() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    for (wanted, request) in REFUSED {
        let answer = web.send(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {wanted} ")),
            "{request}\n{answer}"
        );
    }
    let many = "X-A: b\r\n".repeat(101);
    let long = "a".repeat(64 * 1024);
    for fields in [many, format!("X-A: {long}\r\n")] {
        let answer = web
            .send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(app.seen(), [""; 0], "nothing of all that goes on");
}

#[tokio::test]
async fn a_request_with_a_length_and_a_coding_has_one_of_them_and_nothing_behind_it() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    // By RFC 9112, 6.1 and 6.3, chunked wins, goes on alone, and nothing behind it is read.
    let both =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-Client-Cert: evil\r\n\r\n";
    for request in [
        both.to_owned(),
        both.replace(
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
        ),
    ] {
        web.send(&format!("{request}{next}")).await;
    }
    for request in app.seen() {
        assert_eq!(fields(&request, XFCC), [said_of(&web.leaf)], "{request}");
        assert_eq!(
            fields(&request, "content-length").len() + fields(&request, "transfer-encoding").len(),
            usize::from(request.starts_with("POST")),
            "{request}"
        );
    }
    assert_eq!(app.seen().len(), 2, "{:?}", app.seen());
}

#[tokio::test]
async fn for_whom_a_request_is_its_target_says() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    // RFC 9112, 3.2.2.
    web.send("GET http://b.test/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    web.send("GET /y HTTP/1.0\r\n\r\n").await;
    let seen = app.seen();
    assert!(
        seen[0].starts_with("GET /x HTTP/1.1\r\n") && fields(&seen[0], "host") == ["b.test"],
        "{seen:?}"
    );
    assert!(seen[1].starts_with("GET /y HTTP/1.1\r\n"), "{seen:?}");
}

#[tokio::test]
async fn websocket_goes_through() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut client = web.connect(b"http/1.1").await;
    client
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\nearly")
        .await
        .unwrap();
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    assert_eq!(fields(&request, "upgrade"), ["websocket"], "{request}");
    assert_eq!(fields(&request, XFCC), [said_of(&web.leaf)]);
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: v\r\n\r\nhello")
        .await
        .unwrap();
    let answer = head(&mut client).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("sec-websocket-accept: v"),
        "{answer}"
    );
    let mut five = [0; 5];
    client.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"hello");
    server.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"early");
    let large = vec![7; 1 << 20];
    let (mut from, mut to) = tokio::io::split(client);
    let sent = tokio::spawn(async move {
        to.write_all(&large).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert!(got.len() == 1 << 20 && got.iter().all(|&byte| byte == 7));
    server.write_all(b"over").await.unwrap();
    drop(server);
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"over");
    sent.await.unwrap();
    web.counts("proxy_http_requests_total{route=\"in\",class=\"1xx\"}", 1)
        .await;
}

/// Not another protocol than the one that was asked for, and none where none was.
#[tokio::test]
async fn what_nobody_asked_for_is_not_agreed_to() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut client = web.connect(b"http/1.1").await;
    client
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
        .await
        .unwrap();
    let mut server = app.accept().await;
    head(&mut server).await;
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
    let mut client = web.connect(b"http/1.1").await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .await
        .unwrap();
    let mut server = app.accept().await;
    let request = head(&mut server).await;
    assert!(!request.to_lowercase().contains("upgrade"), "{request}");
    server
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
}

/// Reads a head.
pub(super) async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8());
        text.push(char::from(byte.await.expect("no more of a head").unwrap()));
    }
    text
}
