//! How many connections to the application there are, and how long requests wait for one.
use super::raw::head;
use super::streams::speak;
use super::*;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use std::time::Instant;

type Client = SendRequest<Empty<Bytes>>;

fn get() -> Request<Empty<Bytes>> {
    Request::get("https://a.test/").body(Empty::new()).unwrap()
}

/// A request that is under way at the application.
async fn under_way(client: &Client, app: &App) -> (tokio::task::JoinHandle<u16>, TcpStream) {
    let mut client = client.clone();
    let answer = tokio::spawn(async move { client.send_request(get()).await.unwrap().status().as_u16() });
    let accepted = tokio::time::timeout(PATIENCE, app.accept()).await;
    let mut server = accepted.expect("it does not come");
    head(&mut server).await;
    (answer, server)
}

async fn finish((answer, mut server): (tokio::task::JoinHandle<u16>, TcpStream)) -> TcpStream {
    server
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer.await.unwrap(), 204);
    server
}

#[tokio::test]
async fn connections_to_the_application_are_counted_and_each_client_has_one_of_its_own() {
    let app = App::start().await;
    let most = |most: usize| format!("http: true, max_connections: {most}");
    let mut web = Web::new(app.address, &most(2));
    let mut greedy: Client = speak(&web).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(under_way(&greedy, &app).await);
    }
    let full = tokio::time::timeout(PATIENCE, greedy.send_request(get())).await;
    let full = full.expect("a fourth goes to the application").unwrap();
    assert_eq!(full.status(), 503);
    assert_eq!(full.headers()["retry-after"], "1");
    let line = "proxy_http_no_answers_total{route=\"in\",reason=\"app_full\"}";
    web.counts(line, 1).await;

    let other: Client = speak(&web).await;
    let others = under_way(&other, &app).await;

    // Those that there are count after a reload, too.
    web.site.routes(&inbound(web.listen, app.address, &most(3)));
    open.push(under_way(&greedy, &app).await);
    assert_eq!(greedy.send_request(get()).await.unwrap().status(), 503);
    web.counts(line, 2).await;

    // What rests does not keep others out.
    let mut servers = Vec::new();
    for one in open {
        servers.push(finish(one).await);
    }
    let again = tokio::time::timeout(PATIENCE, async {
        let mut other = other.clone();
        loop {
            tokio::select! {
                answer = other.send_request(get()) => assert_eq!(answer.unwrap().status(), 503),
                server = app.accept() => break server,
            }
        }
    });
    let _second = again.await.expect("those that rest have all");
    finish(others).await;
}

#[tokio::test]
async fn what_rests_at_places_that_others_could_have_leaves_half_of_them() {
    let app = App::start().await;
    let web = Web::new(app.address, "http: true, max_connections: 2");
    let mut rest = Vec::new();
    for client in [speak(&web).await, speak(&web).await] {
        let own = under_way(&client, &app).await;
        let more = under_way(&client, &app).await;
        // The one at its own place ends last.
        rest.push((finish(more).await, finish(own).await, client));
    }
    let route = Arc::clone(&web.site.proxy.routes.borrow()[0]);
    let free = tokio::time::timeout(PATIENCE, async {
        while !route.apps.is_half_free() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    free.await.expect("nothing is under way, and there is no place");
}

#[tokio::test]
async fn an_application_that_says_nothing_in_http2_costs_all_who_wait_its_time_once() {
    let App { listener, address } = App::start().await;
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            silent.push(listener.accept().await.unwrap());
        }
    });
    let web = Web::new(address, "http: true, timeouts: { connect: 500ms }");
    let client: Client = speak(&web).await;
    let begun = Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = client.clone();
        let mut request = get();
        let grpc = "application/grpc".parse().unwrap();
        request.headers_mut().insert("content-type", grpc);
        all.spawn(async move { client.send_request(request).await.unwrap().status().as_u16() });
    }
    assert_eq!(all.join_all().await, [504; 20]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "one after the other: {took:?}");
    let line = "proxy_http_no_answers_total{route=\"in\",reason=\"connect_timeout\"}";
    web.counts(line, 20).await;
}
