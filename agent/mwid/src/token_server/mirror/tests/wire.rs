//! The mirror over a real connection to a server as strict as the platform's.
use super::*;
use testkit::metadata::{Answer as Told, Server};

const KEY: &str = "instance/attributes/x";

fn mirror(server: &Server) -> (Arc<Mirror>, Shutdown) {
    let shutdown = Shutdown::default();
    let client = metadata::Client::new(server.address());
    (Mirror::new(Some(client), Metrics::default(), &shutdown), shutdown)
}

async fn get(mirror: &Mirror, target: &str) -> Got {
    got(ask(mirror, target, false).await).await
}

#[tokio::test]
async fn values_redirects_and_pages_come_as_the_platform_has_them() {
    let server = Server::start();
    let (mirror, _shutdown) = mirror(&server);
    server.set("project/project-id", Told::text("my-project").etag("0a1b"));
    server.set("instance", Told::moved("instance"));
    let id = get(&mirror, "project/project-id").await;
    assert_eq!(
        (
            id.status,
            id.content_type.as_str(),
            id.etag.as_deref(),
            id.body.as_str()
        ),
        (200, "application/text", Some("0a1b"), "my-project")
    );
    let moved = ask(&mirror, "instance", false).await;
    assert_eq!(moved.status().as_u16(), 301);
    assert_eq!(
        moved.headers()["location"],
        "http://mwid.test:8174/computeMetadata/v1/instance/"
    );
    let missing = get(&mirror, KEY).await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/computeMetadata/v1/instance/attributes/x"));
    assert_eq!(
        mirror.value("project/project-id").await.unwrap().as_deref(),
        Some("my-project")
    );
    assert_eq!(server.asked(), ["project/project-id", "instance", KEY]);
}

/// Half a megabyte each of the instance's and the project's own, each quote of it two bytes.
#[tokio::test]
async fn the_largest_tree_is_read_and_a_larger_one_is_said_once() {
    let server = Server::start();
    let (mirror, _shutdown) = mirror(&server);
    let quotes = "\\\"".repeat(512 * 1024);
    let tree = format!(
        "{{\"instance\":{{\"attributes\":{{\"a\":\"{quotes}\"}}}},\"project\":{{\"attributes\":{{\"b\":\"{quotes}\"}}}}}}"
    );
    server.set("?recursive=true&alt=json", Told::json(&tree));
    let whole = get(&mirror, "?recursive=true").await;
    assert!(
        whole.status == 200 && whole.body.len() >= tree.len(),
        "{}",
        whole.status
    );
    server.set(KEY, Told::text(&"x".repeat(5 * 1024 * 1024)));
    let refused = get(&mirror, KEY).await;
    assert_eq!(refused.status, 502, "{}", refused.body);
    assert!(refused.body.contains("single keys"), "{}", refused.body);
    assert_eq!(
        server.asked().iter().filter(|path| *path == KEY).count(),
        1,
        "not tried again"
    );
}

#[tokio::test]
async fn a_slow_server_is_waited_for_when_nothing_is_remembered() {
    let server = Server::start();
    let (mirror, _shutdown) = mirror(&server);
    server.set(KEY, Told::text("x").after(Duration::from_millis(400)));
    assert_eq!(get(&mirror, KEY).await.body, "x");
}

#[tokio::test]
async fn a_change_reaches_who_waits_for_it() {
    let server = Server::start();
    let (mirror, shutdown) = mirror(&server);
    server.set(KEY, Told::text("a").etag("e1"));
    let waits = tokio::spawn({
        let mirror = Arc::clone(&mirror);
        async move { get(&mirror, &format!("{KEY}?wait_for_change=true")).await }
    });
    let until = tokio::time::Instant::now() + seconds(20);
    while server.asked().len() < 2 {
        assert!(tokio::time::Instant::now() < until, "{:?}", server.asked());
        tokio::task::yield_now().await;
    }
    assert_eq!(
        server.asked()[1],
        format!("{KEY}?wait_for_change=true&last_etag=e1&timeout_sec=300")
    );
    server.set(KEY, Told::text("b").etag("e2"));
    assert_eq!(waits.await.unwrap().body, "b");
    let gone = server.address();
    drop(server);
    assert_eq!(get(&mirror, KEY).await.body, "b", "{gone} is away");
    assert_eq!(get(&mirror, "instance/tags").await.status, 503);
    assert!(shutdown.stop(seconds(5)).await);
}
