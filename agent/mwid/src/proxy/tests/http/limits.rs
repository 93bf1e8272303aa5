//! Times that are over, and goodbyes.
use super::*;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn get() -> Request<Empty<Bytes>> {
    Request::get("https://a.test/").body(Empty::new()).unwrap()
}

fn ended(reason: &str) -> String {
    format!("proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}")
}

#[tokio::test]
async fn who_rests_for_too_long_is_told_that_the_time_is_over() {
    let app = Witness::start().await;
    for (times, reason) in [
        ("idle: 100ms", "idle"),
        ("lifetime: 300ms, idle: 10s", "lifetime"),
    ] {
        let web = Web::new(app.address, &format!("http: true, timeouts: {{ {times} }}"));
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(GET).await.unwrap();
        let mut answer = Vec::new();
        // In TLS's own words: a cut would be an error.
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer));
        read.await.expect("it goes on").expect("broken off");
        assert!(answer.ends_with(b"ok"));
        web.counts(&ended(reason), 1).await;

        let io = hyper_util::rt::TokioIo::new(web.connect(b"h2").await);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        let connection = tokio::spawn(connection);
        assert_eq!(sender.send_request(get()).await.unwrap().status(), 200);
        let told = tokio::time::timeout(PATIENCE, connection)
            .await
            .expect("it goes on");
        told.unwrap().expect("broken off, and not by GOAWAY");
        web.counts(&ended(reason), 2).await;
    }
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_cut() {
    let app = App::start().await;
    for (times, reason) in [("idle: 300ms", "idle"), ("lifetime: 300ms", "lifetime")] {
        let web = Web::new(app.address, &format!("http: true, timeouts: {{ {times} }}"));
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(GET).await.unwrap();
        let mut server = app.accept().await;
        raw::head(&mut server).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest));
        assert!(
            read.await.expect("it goes on").is_err(),
            "{times}: it looks like an end"
        );
        web.counts(&ended(reason), 1).await;
    }
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_takes_no_new_ones() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut one = web.connect(b"http/1.1").await;
    one.write_all(GET).await.unwrap();
    let mut for_one = app.accept().await;
    raw::head(&mut for_one).await;
    let (two, connection) = h2::client::handshake(web.connect(b"h2").await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut two = two.ready().await.unwrap();
    let (answer, _) = two.send_request(get().map(|_| ()), true).unwrap();
    let mut for_two = app.accept().await;
    raw::head(&mut for_two).await;

    let stops = tokio::spawn({
        let shutdown = web.site.shutdown.clone();
        async move { shutdown.stop(PATIENCE).await }
    });
    // GOAWAY has come when the client takes no more.
    let refused = tokio::time::timeout(PATIENCE, async {
        loop {
            let Ok(ready) = two.clone().ready().await else {
                return;
            };
            let Ok((answer, _)) = ready.clone().send_request(get().map(|_| ()), true) else {
                return;
            };
            // Sent before it came: it is answered, or refused as one that was not looked at.
            tokio::time::timeout(Duration::from_millis(50), answer).await.ok();
        }
    });
    refused.await.expect("new requests are still taken");
    for server in [&mut for_one, &mut for_two] {
        server
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast")
            .await
            .unwrap();
    }
    let mut rest = Vec::new();
    one.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.contains("connection: close\r\n") && rest.ends_with("last"),
        "{rest}"
    );
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "last");
    drop((body, two));
    connection.await.unwrap().unwrap();
    assert!(stops.await.unwrap(), "the stop waits for more");
    assert!(TcpStream::connect(web.listen).await.is_err());
}

#[tokio::test]
async fn the_status_tells_of_requests_by_their_answers() {
    let app = Witness::start().await;
    let web = Web::new(app.address, "http: true");
    web.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    web.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n")
        .await;
    web.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    let http = web.site.status("in").http.unwrap();
    assert_eq!(http.answers, [0, 1, 0, 2, 0]);
    assert_eq!((http.refused, http.no_answer), (2, 0));
    assert!(http.last_refusal.unwrap().text.starts_with("host: "));
    for reason in ["connect_method", "host"] {
        let line = format!("proxy_http_refusals_total{{route=\"in\",reason=\"{reason}\"}}");
        assert_eq!(web.site.metric(&line), Some("1".to_owned()));
    }
    let gone = Web::new(free(), "http: true");
    gone.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let http = gone.site.status("in").http.unwrap();
    assert_eq!(
        (http.answers, http.refused, http.no_answer),
        ([0, 0, 0, 0, 1], 0, 1)
    );
    assert!(http.last_refusal.unwrap().text.starts_with("connect: "));
}

/// What a body has besides its bytes.
async fn whole(body: hyper::body::Incoming) -> (Bytes, hyper::HeaderMap) {
    let whole = body.collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap_or_default();
    (whole.to_bytes(), trailers)
}

#[tokio::test]
async fn heads_early_answers_and_trailers_are_as_the_application_has_them() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    // HEAD: a length and no body, and the connection is good for more.
    let mut one = web.connect(b"http/1.1").await;
    let mut two = streams::speak(&web).await;
    one.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut for_one = app.accept().await;
    assert!(raw::head(&mut for_one).await.starts_with("HEAD / HTTP/1.1\r\n"));
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    for_one.write_all(long).await.unwrap();
    assert_eq!(fields(&raw::head(&mut one).await, "content-length"), ["1000"]);
    let asked = tokio::spawn(
        two.send_request(
            Request::head("https://a.test/")
                .body(Empty::<Bytes>::new())
                .unwrap(),
        ),
    );
    let mut for_two = app.accept().await;
    raw::head(&mut for_two).await;
    for_two.write_all(long).await.unwrap();
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.headers()["content-length"], "1000");
    assert_eq!(whole(answer.into_body()).await.0, "");

    // A body that waits to be asked for: not before the application is there.
    one.write_all(b"POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await
        .unwrap();
    let request = raw::head(&mut for_one).await;
    assert_eq!(fields(&request, "content-length"), ["4"], "the same connection");
    assert_eq!(raw::head(&mut one).await, "HTTP/1.1 100 Continue\r\n\r\n");
    one.write_all(b"body").await.unwrap();
    let mut body = [0; 4];
    for_one.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"body");
    // Early answers are of this hop; the last one goes through.
    let early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
    for_one.write_all(early).await.unwrap();
    assert!(raw::head(&mut one).await.starts_with("HTTP/1.1 201 "));

    // Trailers of an application that speaks HTTP/1.1, to clients of both versions.
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    one.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .await
        .unwrap();
    raw::head(&mut for_one).await;
    for_one.write_all(chunked).await.unwrap();
    raw::head(&mut one).await;
    let mut body = String::new();
    while !body.ends_with("\r\n\r\n") {
        body.push(char::from(one.read_u8().await.unwrap()));
    }
    assert_eq!(body, "3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n");
    let asked = tokio::spawn(two.send_request(get()));
    raw::head(&mut for_two).await;
    for_two.write_all(chunked).await.unwrap();
    let (bytes, trailers) = whole(asked.await.unwrap().unwrap().into_body()).await;
    assert_eq!(
        (&bytes[..], &trailers["x-sum"]),
        (&b"abc"[..], &"7".parse().unwrap())
    );
}
