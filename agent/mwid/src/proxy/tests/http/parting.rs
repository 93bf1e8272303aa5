//! How connections end, and what does not end them.
use super::raw::head;
use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_request_under_way_is_cut_when_its_peer_may_no_longer() {
    let app = App::start().await;
    let mut web = Web::new(app.address, "http: true");
    let mut client = web.connect(b"http/1.1").await;
    client.write_all(GET).await.unwrap();
    let mut server = app.accept().await;
    head(&mut server).await;
    server
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        .await
        .unwrap();
    head(&mut client).await;
    let more = "http: true, deny: [\"spiffe://here.test/a\"]";
    web.site.routes(&inbound(web.listen, app.address, more));
    let second = Duration::from_secs(1);
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(second, client.read_to_end(&mut rest)).await;
    assert!(cut.expect("it goes on").is_err(), "a cut looks like an end");
    let cut = tokio::time::timeout(second, server.read(&mut [0; 1])).await;
    let cut = cut.expect("the application's goes on");
    assert!(cut.is_err(), "a cut looks like an end to the application");
    web.counts(
        "proxy_connections_ended_total{route=\"in\",reason=\"no_longer_allowed\"}",
        1,
    )
    .await;
}

#[tokio::test]
async fn an_application_that_is_not_there_costs_a_request_and_not_the_connection() {
    let gone = free();
    let web = Web::new(gone, "http: true");
    let mut client = web.connect(b"http/1.1").await;
    for number in 1..=2 {
        client.write_all(GET).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let mut page = [0; 32];
        client.read_exact(&mut page).await.unwrap();
        assert_eq!(&page, b"the application does not answer\n");
        let counted = "proxy_http_no_answers_total{route=\"in\",reason=\"connect\"}";
        web.counts(counted, number).await;
    }
    // Now it is.
    let app = TcpListener::bind(gone).await.unwrap();
    client.write_all(GET).await.unwrap();
    let (mut server, _) = app.accept().await.unwrap();
    head(&mut server).await;
    server
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 204 "));
    // It answers with less than it said.
    client.write_all(GET).await.unwrap();
    head(&mut server).await;
    drop(server);
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));

    let full = Full::start().await;
    let web = Web::new(full.app.address, "http: true, timeouts: { connect: 100ms }");
    let mut client = web.connect(b"http/1.1").await;
    client.write_all(GET).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 504 "));
}

#[tokio::test]
async fn connections_to_the_application_are_used_again_and_never_by_another_peer() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true");
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut client = web.connect(b"http/1.1").await;
        client.write_all(GET).await.unwrap();
        let mut server = app.accept().await;
        for number in 0..3 {
            head(&mut server).await;
            server
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive\r\n\r\nok")
                .await
                .unwrap();
            assert!(!head(&mut client).await.contains("connection"));
            client.read_u16().await.unwrap();
            if number < 2 {
                client.write_all(GET).await.unwrap();
            }
        }
        // Kept open: it would be there for others.
        servers.push((client, server));
    }
    web.counts("proxy_http_requests_total{route=\"in\",class=\"2xx\"}", 6)
        .await;
}

#[tokio::test]
async fn who_asks_again_is_led_to_the_new_application_and_other_changes_disturb_nobody() {
    let [old, new] = [Witness::start().await, Witness::start().await];
    let mut web = Web::new(old.address, "http: true");
    let mut idle = web.connect(b"http/1.1").await;
    idle.write_all(GET).await.unwrap();
    head(&mut idle).await;
    idle.read_u16().await.unwrap();
    let more = "http: true, max_connections: 9";
    web.site.routes(&inbound(web.listen, old.address, more));
    idle.write_all(GET).await.unwrap();
    assert!(!head(&mut idle).await.contains("connection: close"));
    idle.read_u16().await.unwrap();
    web.site.routes(&inbound(web.listen, new.address, more));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "it was told so in TLS, and nothing else");
    web.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!((old.seen().len(), new.seen().len()), (2, 1));
    web.counts("proxy_connections_ended_total{route=\"in\",reason=\"closed\"}", 2)
        .await;
}
