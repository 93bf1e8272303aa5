//! HTTP/2: plain applications, gRPC, and those who misuse it.
use super::*;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

pub(super) async fn speak<B>(web: &Web) -> SendRequest<B>
where
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let io = TokioIo::new(web.connect(b"h2").await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_plain_application_gets_http1_from_http2() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    let mut sender = speak(&web).await;
    let request = Request::get("https://shop.test/p?q")
        .header("x-forwarded-client-cert", "evil")
        .header("x_forwarded_client_cert", "evil")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    let seen = app.seen();
    assert!(seen[0].starts_with("GET /p?q HTTP/1.1\r\n"), "{seen:?}");
    assert_eq!(fields(&seen[0], "host"), ["shop.test"]);
    assert_eq!(fields(&seen[0], "cookie"), ["a=b; c=d"]);
    assert_eq!(fields(&seen[0], "x-forwarded-client-cert"), [said_of(&web.leaf)]);
    assert!(!seen[0].contains("evil"));
}

#[tokio::test]
async fn a_request_of_http2_has_one_length() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    for (lengths, status) in [(["2", "3"], 400), (["3", "2"], 400), (["2", "2"], 200)] {
        let (client, connection) = h2::client::handshake(web.connect(b"h2").await).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("https://a.test/")
            .header("content-length", lengths[0])
            .header("content-length", lengths[1])
            .body(())
            .unwrap();
        let mut client = client.ready().await.unwrap();
        let (answer, mut send) = client.send_request(request, false).unwrap();
        send.send_data(Bytes::from_static(b"ok"), true).unwrap();
        match answer.await {
            Ok(answer) => assert_eq!(answer.status(), status, "{lengths:?}"),
            // HTTP/2 itself may be the first to see it.
            Err(error) => assert!(error.is_reset() && status == 400, "{error}"),
        }
    }
    let seen = app.seen();
    let [request] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(fields(request, "content-length"), ["2"]);
}

/// An application that speaks HTTP/2 alone, and says each piece back as it comes.
async fn echo(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(async |request: Request<Incoming>| {
            let said = request.headers()["x-forwarded-client-cert"].clone();
            let te = request.headers()["te"].clone();
            let (mut send, body) = Channel::<Bytes>::new(1);
            tokio::spawn(async move {
                let mut incoming = request.into_body();
                while let Some(Ok(frame)) = incoming.frame().await {
                    if let Ok(data) = frame.into_data() {
                        send.send(Frame::data(data)).await.unwrap();
                    }
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("x-forwarded_client-cert", HeaderValue::from_static("evil"));
                trailers.insert("content-length", HeaderValue::from_static("9"));
                trailers.insert("host", HeaderValue::from_static("evil"));
                send.send(Frame::trailers(trailers)).await.unwrap();
            });
            let answer = Response::builder().header("said", said).header("said-te", te);
            Ok::<_, Infallible>(answer.body(body).unwrap())
        });
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service).await.ok() });
    }
}

#[tokio::test]
async fn grpc_streams_both_ways_with_trailers() {
    let App { listener, address } = App::start().await;
    tokio::spawn(echo(listener));
    for (http, content) in [("true", "application/grpc"), ("{ to: h2c }", "text/plain")] {
        let web = Web::new(address, &format!("http: {http}"));
        let mut sender = speak(&web).await;
        let (mut send, body) = Channel::<Bytes>::new(1);
        let request = Request::post("https://bank.test/Ledger/Watch")
            .header("content-type", content)
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.headers()["said"], said_of(&web.leaf));
        assert_eq!(answer.headers()["said-te"], "trailers");
        let mut incoming = answer.into_body();
        // One at a time: nothing waits for more to come.
        for number in 0..3 {
            let piece = Bytes::from(format!("message {number}"));
            send.send_data(piece.clone()).await.unwrap();
            let frame = tokio::time::timeout(PATIENCE, incoming.frame())
                .await
                .expect("it is kept back");
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(send);
        let trailers = incoming.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.len(), 1, "{trailers:?}");
    }
}

#[tokio::test]
async fn a_stream_that_the_application_does_not_take_holds_its_sender_back() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut sender = speak(&web).await;
    let (mut send, body) = Channel::<Bytes>::new(1);
    let request = Request::post("https://a.test/").body(body).unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    let mut server = app.accept().await;
    raw::head(&mut server).await;
    let piece = Bytes::from(vec![1; 64 * 1024]);
    let mut sent = 0;
    // Until nothing moves for a while: all buffers on the way are full.
    while let Ok(done) = tokio::time::timeout(Duration::from_millis(300), send.send_data(piece.clone())).await
    {
        done.unwrap();
        sent += piece.len();
        assert!(sent < 64 << 20, "somebody keeps all of it");
    }
    drop(send);
    answer.abort();
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    let (mut sender, connection) = h2::client::handshake(web.connect(b"h2").await).await.unwrap();
    let ended = tokio::spawn(connection);
    for _ in 0..10_000 {
        let Ok(ready) = sender.clone().ready().await else {
            break;
        };
        sender = ready;
        let request = Request::get("https://a.test/").body(()).unwrap();
        let Ok((_, mut stream)) = sender.send_request(request, false) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
    }
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it goes on");
    assert!(ended.unwrap().is_err());
    web.site.wait("in", "end", |status| status.open == 0).await;
}

/// As many as a browser may have paused: what they hold is bounded, but none of them takes the room of one that is read.
#[tokio::test]
async fn answers_that_their_client_does_not_take_hold_up_no_other() {
    let App { listener, address } = App::start().await;
    let large = Bytes::from(vec![7; 2 << 20]);
    let length = large.len();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let large = large.clone();
            tokio::spawn(async move {
                raw::head(&mut stream).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                // Its client may never take all of it.
                stream.write_all(&large).await.ok();
            });
        }
    });
    let web = Web::new(address, "http: true");
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(64 << 20);
    let handshake = builder.handshake::<_, Bytes>(web.connect(b"h2").await);
    let (client, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let client = client.ready().await.unwrap();
    let get = async || {
        let request = Request::get("https://a.test/").body(()).unwrap();
        let (answer, _) = client.clone().send_request(request, true).unwrap();
        answer.await.unwrap().into_body()
    };
    let mut paused = vec![];
    for _ in 0..60 {
        let mut body = get().await;
        // Until its window is full.
        let mut got = 0;
        while got < 65_535 {
            got += body.data().await.unwrap().unwrap().len();
        }
        paused.push(body);
    }
    for _ in 0..3 {
        let mut body = get().await;
        let mut got = 0;
        while let Some(data) = tokio::time::timeout(PATIENCE, body.data())
            .await
            .expect("it is held up")
        {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            got += data.len();
        }
        assert_eq!(got, length);
    }
}
