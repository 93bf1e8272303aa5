//! Clients that have said all they have to say, and clients that are gone.
use super::raw::head;
use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";

fn ended(reason: &str) -> String {
    format!("proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}")
}

/// Everything up to the end that TLS tells of; a cut is an error.
async fn rest(client: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest));
    read.await.expect("no end")?;
    Ok(String::from_utf8(rest).unwrap())
}

#[tokio::test]
async fn who_has_sent_all_gets_all_answers() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    // One, two at once, and one with a body: `shutdown` is the end of TLS, then that of TCP.
    for (sent, requests) in [(GET.to_vec(), 1), (GET.repeat(2), 2), (post.to_vec(), 1)] {
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut server = app.accept().await;
        for _ in 0..requests {
            let request = head(&mut server).await;
            if request.starts_with("POST") {
                server.read_u32().await.unwrap();
            }
            web.site.wait("in", "bytes", |status| status.received > 0).await;
            // Slow, as far as anything moves: the client's end has been read, and disturbs nobody.
            let silent = tokio::time::timeout(Duration::from_millis(100), server.read_u8()).await;
            assert!(silent.is_err(), "the application's connection is cut");
            server.write_all(OK).await.unwrap();
        }
        let answers = rest(&mut client).await.unwrap();
        assert_eq!(answers.matches("late").count(), requests, "{answers}");
    }
    web.counts(&ended("closed"), 3).await;
}

#[tokio::test]
async fn who_has_sent_all_waits_as_long_as_the_route_says_and_longer_while_something_moves() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true, timeouts: { half_close: 400ms }");
    let mut client = web.connect(b"http/1.1").await;
    client.write_all(GET).await.unwrap();
    client.shutdown().await.unwrap();
    let mut server = app.accept().await;
    head(&mut server).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        .await
        .unwrap();
    head(&mut client).await;
    let begun = std::time::Instant::now();
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.write_all(b"a").await.unwrap();
        client.read_u8().await.unwrap();
    }
    assert!(begun.elapsed() > Duration::from_millis(400));
    // The last byte does not come.
    assert!(rest(&mut client).await.is_err(), "a cut looks like an end");
    web.counts(&ended("half_closed"), 1).await;
}

/// In the middle of an answer, or before it: the application is told at once, not when it next says something.
#[tokio::test]
async fn the_application_hears_of_a_client_that_is_gone() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
    for (number, says) in [&b""[..], begun].into_iter().enumerate() {
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(GET).await.unwrap();
        let mut server = app.accept().await;
        head(&mut server).await;
        server.write_all(says).await.unwrap();
        // Without a word in TLS.
        drop(client.into_inner().0);
        let told = tokio::time::timeout(PATIENCE, server.read(&mut [0; 1])).await;
        assert!(told.expect("nobody tells it").is_err(), "a cut looks like an end");
        web.counts(&ended("cut"), u32::try_from(number).unwrap() + 1)
            .await;
    }
}

/// In a body, in a tunnel, and behind the head of a next request, where the application takes nothing: nobody reads that the client has gone.
#[tokio::test]
async fn a_client_that_is_gone_behind_bytes_that_nobody_takes_has_the_time_of_one_that_has_ended() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true, timeouts: { half_close: 300ms }");
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let agrees = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let cases: [(&[u8], &[u8]); 3] = [(post, b""), (upgrade, agrees), (GET, b"")];
    for (number, (asks, answer)) in (1..).zip(cases) {
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(asks).await.unwrap();
        let mut server = app.accept().await;
        head(&mut server).await;
        server.write_all(answer).await.unwrap();
        if !answer.is_empty() {
            head(&mut client).await;
        }
        // As much as goes.
        let piece = vec![b'a'; 64 * 1024];
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), client.write(&piece)).await {
            written.unwrap();
        }
        let tcp = client.into_inner().0;
        tcp.set_zero_linger().unwrap();
        drop(tcp);
        web.counts(&ended("half_closed"), number).await;
        let told = tokio::time::timeout(PATIENCE, async {
            let mut taken = vec![0; 64 * 1024];
            while server.read(&mut taken).await? > 0 {}
            Ok::<_, std::io::Error>(())
        });
        assert!(
            told.await.expect("nobody tells it").is_err(),
            "a cut looks like an end"
        );
    }
}
