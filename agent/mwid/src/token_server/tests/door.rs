//! Who gets in, and what is there.
use super::*;
use crate::caller::{Denial, Grant};
use crate::token_server::metrics::Kind;

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

#[tokio::test]
async fn the_root_tells_who_is_there_without_a_header() {
    let house = House::new().await;
    let root = house.send(&request("GET", "/", "", "")).await;
    assert_eq!((root.status, &*root.body), (200, "computeMetadata/\n"));
    root.is_the_servers();
    let head = house.send_tcp(&request("HEAD", "/", "", "")).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    head.is_the_servers();
}

#[tokio::test]
async fn everything_else_wants_the_flavor() {
    let house = House::new().await;
    for target in [
        TOKEN,
        "/computeMetadata/v1/",
        "/computeMetadata/v1/instance",
        "/computeMetadata/",
        "/computeMetadata/v1/no/such/key",
    ] {
        for headers in [
            "",
            "Metadata-Flavor: google\r\n",
            "Metadata-Flavor:\r\n",
            "X-Google-Metadata-Request: True\r\n",
        ] {
            let refused = house.send(&request("GET", target, headers, "")).await;
            assert_eq!(refused.status, 403, "{target} {headers}");
            refused.is_the_servers();
            assert_eq!(refused.header("content-type"), "text/html; charset=UTF-8");
            let says = format!(
                "Your client does not have permission to get URL <code>{target}</code> from this server. \
                 Missing Metadata-Flavor:Google header."
            );
            assert!(refused.body.contains(&says), "{}", refused.body);
        }
    }
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test]
async fn what_came_through_a_proxy_is_refused() {
    let house = House::new().await;
    for target in ["/", TOKEN] {
        for forwarded in ["1.2.3.4", "", "127.0.0.1"] {
            let headers = format!("{FLAVOR}X-Forwarded-For: {forwarded}\r\n");
            let refused = house.send(&request("GET", target, &headers, "")).await;
            assert_eq!(refused.status, 403, "{target} {forwarded}");
            refused.is_the_servers();
            let told = "denied Disguised: it has the header X-Forwarded-For";
            assert_eq!(house.doorman.record(), [told; 2], "once on each socket");
        }
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let house = House::new().await;
    let ask = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\n{host}{FLAVOR}\r\n");
    for host in [
        "evil.example",
        "metadata.google.internal.evil.example:80",
        "10.0.0.1:8174",
        "",
        "0.0.0.0:8174",
    ] {
        for target in ["/", TOKEN] {
            let refused = house.send(&ask(target, &format!("Host: {host}\r\n"))).await;
            assert_eq!(refused.status, 403, "{target} {host}");
            refused.is_the_servers();
            assert!(!refused.body.contains("evil"), "{}", refused.body);
            let told = "denied Disguised: it is for a foreign Host, as by DNS rebinding";
            assert_eq!(house.doorman.record(), [told; 2], "{host}");
        }
    }
    for host in [
        "127.0.0.1:8174",
        "LOCALHOST",
        "[::1]:8174",
        "metadata.google.internal.",
        "metadata.goog",
        "169.254.169.254",
    ] {
        let answered = house.send(&ask(TOKEN, &format!("Host: {host}\r\n"))).await;
        assert_eq!(answered.status, 200, "{host}");
    }
    // An absolute-form target is judged too, whatever the header says.
    let good = "Host: localhost\r\n";
    let absolute = |host: &str| ask(&format!("http://{host}{TOKEN}"), good);
    for (host, status) in [
        ("evil.example", 403),
        ("localhost@evil.example", 403),
        ("metadata.google.internal", 200),
    ] {
        assert_eq!(house.send(&absolute(host)).await.status, status, "{host}");
    }
    let foreign_header = ask(&format!("http://localhost{TOKEN}"), "Host: evil.example\r\n");
    assert_eq!(house.send(&foreign_header).await.status, 403);
    // RFC 9112, 3.2: one Host, no less and no more.
    for host in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        assert_eq!(house.send(&ask(TOKEN, host)).await.status, 400, "{host}");
    }
    let old = format!("GET {TOKEN} HTTP/1.0\r\n{FLAVOR}\r\n");
    assert_eq!(house.send(&old).await.status, 200, "no browser speaks like this");
    let not_text = b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n";
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    stream.write_all(not_text).await.unwrap();
    assert_eq!(read_answer(&mut stream, false).await.status, 403);
    assert_eq!(house.metrics.count(Kind::Token, 200), 2 * 8);
}

#[tokio::test]
async fn whom_the_kernel_does_not_name_gets_nothing() {
    let house = House::new().await;
    house.doorman.knows_nobody(Denial::Pid { uid: 7 });
    for target in ["/", TOKEN, "/computeMetadata/v1/universe/universe-domain"] {
        let refused = house.get(target).await;
        assert_eq!(refused.status, 403, "{target}");
        refused.is_the_servers();
        assert!(refused.body.contains("process namespace"), "{}", refused.body);
        assert_eq!(refused.header("connection"), "", "it may ask on");
    }
    // Who may be told in a moment is asked to come again, on another connection.
    let full = std::io::Error::from_raw_os_error(nix::libc::EMFILE);
    house.doorman.knows_nobody(Denial::Table(full));
    let later = house.get(TOKEN).await;
    assert_eq!((later.status, later.header("retry-after")), (503, "1"));
    assert_eq!(later.header("connection"), "close");
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test]
async fn whom_a_rule_may_mean_that_cannot_be_looked_up_now_is_asked_to_come_again() {
    let house = House::new().await;
    house.doorman.grants(Grant::default());
    house.doorman.sees_all(false);
    let later = house.get(TOKEN).await;
    assert_eq!(
        (later.status, later.header("retry-after")),
        (503, "1"),
        "{}",
        later.body
    );
    assert!(later.body.contains("ask again"), "{}", later.body);
    house.doorman.sees_all(true);
    assert_eq!(house.get(TOKEN).await.status, 403);
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test]
async fn a_path_that_hides_something_is_not_there() {
    let house = House::new().await;
    for target in [
        "/computeMetadata/v1/instance/service-accounts/default/%74oken",
        "/computeMetadata/v1/instance/service-accounts/%64efault/token",
        "/computeMetadata/v1/instance/service-accounts//default/token",
        "/computeMetadata/v1/instance/x/../service-accounts/default/token",
        "/computeMetadata/v1/./instance/service-accounts/default/token",
        "/computeMetadata/v1/instance/service-accounts/default/token/",
        "/computeMetadata/v1beta1/instance/service-accounts/default/token",
        "/latest/meta-data/",
    ] {
        let missing = house.get(target).await;
        assert_eq!(missing.status, 404, "{target}");
        missing.is_the_servers();
        let says = format!("The requested URL <code>{target}</code> was not found on this server.");
        assert!(missing.body.contains(&says), "{}", missing.body);
    }
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let house = House::new().await;
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        let refused = house.send(&request(method, TOKEN, FLAVOR, "")).await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, "GET, HEAD, POST"),
            "{method}"
        );
        refused.is_the_servers();
    }
    for target in [
        "/",
        "/computeMetadata/v1/instance/service-accounts/default/email",
        "/computeMetadata/v1/project/project-id",
    ] {
        let refused = house.post(target, "{\"a\":1}").await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, "GET, HEAD"),
            "{target}"
        );
    }
}

#[tokio::test]
async fn directories_get_their_slash() {
    let house = House::new().await;
    for (target, location) in [
        ("/computeMetadata", "/computeMetadata/"),
        ("/computeMetadata/v1", "/computeMetadata/v1/"),
        ("/computeMetadata/v1/universe", "/computeMetadata/v1/universe/"),
        (
            "/computeMetadata/v1/instance/service-accounts/default?recursive=true&alt=json",
            "/computeMetadata/v1/instance/service-accounts/default/?recursive=true&alt=json",
        ),
    ] {
        let moved = house.get(target).await;
        assert_eq!(moved.status, 301, "{target}");
        moved.is_the_servers();
        assert_eq!(
            moved.header("location"),
            format!("http://metadata.google.internal{location}")
        );
        let path = target.split('?').next().unwrap();
        assert_eq!(moved.body, format!("{path}/\n"));
    }
    let versions = house.get("/computeMetadata/").await;
    assert_eq!((versions.status, &*versions.body), (200, "v1/\n"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::new().await;
    let large = format!("{FLAVOR}X-Large: {}\r\n", "x".repeat(17 * 1024));
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    // It may be closed before all is sent.
    stream
        .write_all(request("GET", TOKEN, &large, "").as_bytes())
        .await
        .ok();
    let mut got = vec![];
    stream.read_to_end(&mut got).await.ok();
    assert!(got.starts_with(b"HTTP/1.1 431 "), "{}", got.escape_ascii());
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let house = House::new().await;
    let mut stream = UnixStream::connect(&house.socket).await.unwrap();
    for _ in 0..3 {
        let answered = exchange(&mut stream, &request("GET", TOKEN, FLAVOR, "")).await;
        assert_eq!(answered.status, 200);
        let refused = exchange(&mut stream, &request("GET", TOKEN, "", "")).await;
        assert_eq!(refused.status, 403);
    }
    assert_eq!(house.metrics.count(Kind::Token, 200), 3);
    assert_eq!(house.metrics.count(Kind::None, 403), 3);
    assert_eq!(house.source.asked().len(), 1, "the rest from the cache");
}
