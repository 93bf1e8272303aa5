//! The rest of the tree comes from the platform.
use super::source::EMAIL;
use super::*;
use tokio::net::TcpListener;

/// A platform that has these paths, and nothing else.
async fn platform(has: &'static [(&'static str, &'static str, &'static str)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![];
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap_or_default();
            let path = target.split('?').next().unwrap_or_default();
            let found = has
                .iter()
                .find(|(key, ..)| path.strip_prefix("/computeMetadata/v1/") == Some(key));
            let (status, content_type, body) = match found {
                Some((_, content_type, body)) => ("200 OK", *content_type, *body),
                None => ("404 Not Found", "text/html", "no"),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nMetadata-Flavor: Google\r\nContent-Type: {content_type}\r\nETag: 0123456789abcdef\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    address
}

#[tokio::test]
async fn project_and_instance_keys_are_passed_on() {
    let address = platform(&[
        ("project/project-id", "application/text", "my-project"),
        ("universe/universe-domain", "text/plain", "example.goog"),
        (
            "instance/",
            "application/json",
            "{\"id\":1,\"serviceAccounts\":{\"default\":{\"email\":\"the-platforms@x\"}}}",
        ),
    ])
    .await;
    let house = House::with(Some(address), CONNECTIONS);
    let project = house.get("/computeMetadata/v1/project/project-id").await;
    assert_eq!((project.status, &*project.body), (200, "my-project"));
    project.is_the_servers();
    let domain = house.get("/computeMetadata/v1/universe/universe-domain").await;
    assert_eq!((domain.status, &*domain.body), (200, "example.goog"));
    assert_eq!(
        house
            .get("/computeMetadata/v1/instance/attributes/none")
            .await
            .status,
        404
    );
    let tree = house
        .get("/computeMetadata/v1/instance/?recursive=true")
        .await
        .json();
    assert_eq!(tree["id"], 1);
    assert_eq!(
        tree["serviceAccounts"]["default"]["email"], EMAIL,
        "ours, not the platform's"
    );
}

#[tokio::test]
async fn credentials_of_another_universe_tell_theirs_in_a_tree_too() {
    let address = platform(&[(
        "",
        "application/json",
        "{\"instance\":{\"id\":1},\"universe\":{\"universeDomain\":\"example.goog\"}}",
    )])
    .await;
    let house = House::with(Some(address), CONNECTIONS);
    let tree = "/computeMetadata/v1/?recursive=true";
    let domain = |tree: &Answered| {
        tree.json()["universe"]["universeDomain"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(domain(&house.get(tree).await), "example.goog");
    house.source.belongs("apis.example", "my-project");
    assert_eq!(domain(&house.get(tree).await), "apis.example");
    let text = house.get(&format!("{tree}&alt=text")).await;
    assert!(
        text.body.contains("universe/universe-domain apis.example\n"),
        "{text:?}"
    );
    assert!(!text.body.contains("example.goog"), "{text:?}");
}

#[tokio::test]
async fn without_a_platform_the_tree_holds_what_is_ours() {
    let house = House::new().await;
    // Node's library takes this for the sign that there is a metadata server.
    let instance = house.get("/computeMetadata/v1/instance").await;
    assert_eq!(instance.status, 301);
    instance.is_the_servers();
    assert_eq!(
        house.get("/computeMetadata/v1/instance/").await.body,
        "service-accounts/\n"
    );
    assert_eq!(
        house.get("/computeMetadata/v1/").await.body,
        "instance/\nuniverse/\n"
    );
    let tree = house.get("/computeMetadata/v1/?recursive=true").await.json();
    assert_eq!(tree["instance"]["serviceAccounts"]["default"]["email"], EMAIL);
    assert_eq!(tree["universe"]["universeDomain"], "googleapis.com");
    assert_eq!(
        house.get("/computeMetadata/v1/project/project-id").await.status,
        404
    );
}

/// A token of another universe would go to Google.
#[tokio::test]
async fn no_universe_is_guessed_while_the_platform_is_away() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let house = House::with(Some(nobody), CONNECTIONS);
    for below in ["universe/universe-domain", "universe/?recursive=true"] {
        let refused = house.get(&format!("/computeMetadata/v1/{below}")).await;
        assert_eq!(refused.status, 503, "{below}: {refused:?}");
        refused.header("retry-after");
    }
    for below in ["instance", "project"] {
        let moved = house.get(&format!("/computeMetadata/v1/{below}")).await;
        assert_eq!(moved.status, 301, "the sign that there is a metadata server");
    }
}
