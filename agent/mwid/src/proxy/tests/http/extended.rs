//! WebSocket in HTTP/2: extended CONNECT (RFC 8441).
use super::raw::head;
use super::*;
use ::aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{Request, Response};

/// A connection of HTTP/2, on which the server has said that it takes extended CONNECT.
async fn speak(web: &Web) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(web.connect(b"h2").await).await.unwrap();
    tokio::spawn(connection);
    let client = client.ready().await.unwrap();
    let said = tokio::time::timeout(PATIENCE, async {
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    said.await.expect("it does not say so");
    client
}

/// Asks for a protocol; the answer comes later.
fn ask(
    client: &SendRequest<Bytes>,
    protocol: Option<&str>,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let target = if protocol.is_some() {
        "https://chat.test/room?1"
    } else {
        "chat.test:1"
    };
    let mut request = Request::connect(target)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "v2.chat")
        .header("sec-websocket-key", "ZXZpbGV2aWxldmlsZXZpbA==")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .header("x-forwarded-client-cert", "evil")
        .header("x_forwarded.client-cert", "evil");
    if let Some(protocol) = protocol {
        request = request.extension(Protocol::from(protocol));
    }
    let request = request.body(()).unwrap();
    client.clone().send_request(request, false).unwrap()
}

async fn answer(asked: h2::client::ResponseFuture) -> Response<RecvStream> {
    let answered = tokio::time::timeout(PATIENCE, asked);
    answered.await.expect("no answer").unwrap()
}

/// So many bytes, or what there is before the end.
async fn some(stream: &mut RecvStream, wanted: usize) -> Vec<u8> {
    let mut got = vec![];
    while got.len() < wanted {
        let data = tokio::time::timeout(PATIENCE, stream.data()).await;
        let Some(data) = data.expect("no more comes") else {
            break;
        };
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        got.extend_from_slice(&data);
    }
    got
}

/// The application agrees, as RFC 6455 has it.
async fn agree(server: &mut TcpStream) -> String {
    let request = head(server).await;
    let [key] = fields(&request, "sec-websocket-key")[..] else {
        panic!("{request}")
    };
    assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
    let accept = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
    );
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: v2.chat\r\n\r\n",
        STANDARD.encode(accept)
    );
    server.write_all(answer.as_bytes()).await.unwrap();
    request
}

/// A tunnel on a stream: the client's two halves, and the application's end.
async fn tunnel(client: &SendRequest<Bytes>, app: &App) -> (SendStream<Bytes>, RecvStream, TcpStream) {
    let (asked, send) = ask(client, Some("websocket"));
    let mut server = app.accept().await;
    agree(&mut server).await;
    let answer = answer(asked).await;
    assert_eq!(answer.status(), 200);
    (send, answer.into_body(), server)
}

#[tokio::test]
async fn it_is_an_upgrade_to_an_application_that_speaks_http1() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let client = speak(&web).await;
    let (asked, mut send) = ask(&client, Some("websocket"));
    let mut server = app.accept().await;
    let request = agree(&mut server).await;
    assert!(request.starts_with("GET /room?1 HTTP/1.1\r\n"), "{request}");
    for (name, value) in [
        ("host", "chat.test"),
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "v2.chat"),
        ("cookie", "a=b; c=d"),
        (raw::XFCC, &said_of(&web.leaf)),
    ] {
        assert_eq!(fields(&request, name), [value], "{request}");
    }
    assert!(
        !request.contains("evil") && !request.contains("ZXZpbGV2"),
        "{request}"
    );
    let answer = answer(asked).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v2.chat");
    for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(!answer.headers().contains_key(gone), "{answer:?}");
    }
    let mut receive = answer.into_body();
    server.write_all(b"hello").await.unwrap();
    assert_eq!(some(&mut receive, 5).await, b"hello");
    // More than any window, both ways, then one end after the other.
    let large = Bytes::from(vec![7; 1 << 20]);
    let mut rest = large.clone();
    let (mut server_reads, mut server_writes) = server.into_split();
    let to_app = async {
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|cx| send.poll_capacity(cx))
                .await
                .unwrap()
                .unwrap();
            send.send_data(rest.split_to(room.min(rest.len())), false)
                .unwrap();
        }
        send.send_data(Bytes::new(), true).unwrap();
    };
    let at_app = async {
        let mut got = vec![];
        server_reads.read_to_end(&mut got).await.unwrap();
        assert!(got == large);
    };
    tokio::join!(to_app, at_app);
    let from_app = async {
        server_writes.write_all(&large).await.unwrap();
        drop(server_writes);
    };
    let at_client = async { assert!(some(&mut receive, usize::MAX).await == large) };
    tokio::join!(from_app, at_client);
    web.counts("proxy_http_requests_total{route=\"in\",class=\"2xx\"}", 1)
        .await;
}

#[tokio::test]
async fn nothing_else_becomes_a_tunnel() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let client = speak(&web).await;
    for (protocol, status) in [(Some("connect-udp"), 501), (Some("WebSocket"), 501), (None, 405)] {
        let (asked, _send) = ask(&client, protocol);
        assert_eq!(answer(asked).await.status(), status, "{protocol:?}");
    }
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    for (says, status) in [
        (
            format!(
                "{upgrade}Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            ),
            502,
        ),
        (format!("{upgrade}Upgrade: websocket\r\n\r\n"), 502),
        (format!("{upgrade}Upgrade: h2c\r\n\r\n"), 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno".to_owned(), 502),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            403,
        ),
    ] {
        let (asked, _send) = ask(&client, Some("websocket"));
        let mut server = app.accept().await;
        head(&mut server).await;
        server.write_all(says.as_bytes()).await.unwrap();
        let answer = answer(asked).await;
        assert_eq!(answer.status(), status, "{says}");
        if status == 403 {
            assert_eq!(some(&mut answer.into_body(), usize::MAX).await, b"no");
        }
        // Nobody speaks to the application on it any more.
        let ended = tokio::time::timeout(PATIENCE, server.read_u8()).await;
        assert!(ended.expect("it is kept").is_err());
    }
    for (reason, count) in [("websocket_accept", 2), ("switches", 1), ("no_websocket", 1)] {
        let line = format!("proxy_http_no_answers_total{{route=\"in\",reason=\"{reason}\"}}");
        assert_eq!(web.site.metric(&line), Some(count.to_string()), "{reason}");
    }
    let line = "proxy_http_refusals_total{route=\"in\",reason=\"connect_protocol\"}";
    assert_eq!(web.site.metric(line), Some("2".to_owned()));
}

#[tokio::test]
async fn tunnels_end_by_themselves_and_with_their_peer() {
    let app = App::start().await;
    let mut web = Web::new(app.address, "http: true, timeouts: { half_close: 300ms }");
    let client = speak(&web).await;
    let (mut one, _one_receives, mut at_one) = tunnel(&client, &app).await;
    let (mut two, mut two_receives, mut at_two) = tunnel(&client, &app).await;
    let (three, three_receives, mut at_three) = tunnel(&client, &app).await;
    // Its client has said all, and the application says nothing more.
    one.send_data(Bytes::from_static(b"last"), true).unwrap();
    let mut got = vec![];
    at_one.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    // For longer than that something moves.
    for _ in 0..12 {
        at_one.write_all(b"x").await.expect("it was cut meanwhile");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing does any more.
    let cut = tokio::time::timeout(PATIENCE, async {
        while at_one.take_error().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    cut.await.expect("it is not cut");
    let mut byte = [0; 1];
    // One is reset; the application hears of it as soon as it says something.
    drop((three, three_receives));
    let told = tokio::time::timeout(PATIENCE, async {
        while at_three.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    told.await.expect("nobody tells it");
    // The other goes on.
    at_two.write_all(b"ping").await.unwrap();
    assert_eq!(some(&mut two_receives, 4).await, b"ping");
    two.send_data(Bytes::from_static(b"p"), false).unwrap();
    at_two.read_exact(&mut byte).await.unwrap();
    let more = "http: true, deny: [\"spiffe://here.test/a\"]";
    web.site.routes(&inbound(web.listen, app.address, more));
    let told = tokio::time::timeout(Duration::from_secs(1), at_two.read(&mut byte)).await;
    assert!(told.expect("it goes on").is_err(), "a cut looks like an end");
}

/// An application of HTTP/2, which takes extended CONNECT or does not, and says each piece back with what it was told.
async fn echo(listener: TcpListener, is_taken: bool) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut http = h2::server::Builder::new();
            if is_taken {
                http.enable_connect_protocol();
            }
            let mut connection = http.handshake::<_, Bytes>(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let said = request.headers()[raw::XFCC].clone();
                assert!(
                    !request.headers().contains_key("sec-websocket-key"),
                    "it is of HTTP/1.1"
                );
                let protocol = request
                    .extensions()
                    .get::<Protocol>()
                    .unwrap()
                    .as_str()
                    .to_owned();
                let answer = Response::builder().header("said", said).header(
                    "asked",
                    format!("{} {} {protocol}", request.method(), request.uri()),
                );
                let mut send = respond.send_response(answer.body(()).unwrap(), false).unwrap();
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    while let Some(Ok(data)) = body.data().await {
                        body.flow_control().release_capacity(data.len()).unwrap();
                        send.send_data(data, false).unwrap();
                    }
                    send.send_data(Bytes::new(), true).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn it_is_the_same_to_an_application_that_speaks_http2_and_takes_it() {
    for is_taken in [true, false] {
        let App { listener, address } = App::start().await;
        tokio::spawn(echo(listener, is_taken));
        let web = Web::new(address, "http: { to: h2c }");
        let client = speak(&web).await;
        let (asked, mut send) = ask(&client, Some("websocket"));
        let answer = answer(asked).await;
        if !is_taken {
            assert_eq!(answer.status(), 502);
            web.counts(
                "proxy_http_no_answers_total{route=\"in\",reason=\"no_websocket\"}",
                1,
            )
            .await;
            continue;
        }
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["said"], said_of(&web.leaf));
        assert_eq!(
            answer.headers()["asked"],
            "CONNECT http://chat.test/room?1 websocket"
        );
        let mut receive = answer.into_body();
        send.send_data(Bytes::from_static(b"ping"), false).unwrap();
        assert_eq!(some(&mut receive, 4).await, b"ping");
        send.send_data(Bytes::new(), true).unwrap();
        assert_eq!(some(&mut receive, 1).await, b"", "its end comes back");
    }
}
