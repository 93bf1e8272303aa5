//! What of a server is believed, and how each refusal is told.
use super::*;
use testkit::metadata::{Answer as Told, Server};

const PATH: &str = "instance/id";

async fn get(told: Told) -> Result<Answer, MetadataError> {
    let server = Server::start();
    server.set(PATH, told);
    let answer = Client::new(server.address()).get(PATH).await;
    assert_eq!(server.asked(), [PATH]);
    answer
}

async fn refused(told: Told) -> MetadataError {
    let server = Server::start();
    server.set(PATH, told);
    let error = Client::new(server.address()).read(PATH).await.unwrap_err();
    let text = crate::report::Causes(&error).to_string();
    assert!(text.contains(&server.address().to_string()), "{text}");
    error
}

#[tokio::test]
async fn an_answer_is_read_whole_with_its_headers() {
    let answer = get(Told::json("{\"a\": 1}")).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"{\"a\": 1}"[..])
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    let shown = format!("{answer:?}");
    // Neither as text nor as numbers.
    assert!(!shown.contains("\"a\"") && !shown.contains("123, 34"), "{shown}");
    let answer = get(Told::status(404, "gone")).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (404, &b"gone"[..]),
        "any status is an answer"
    );
}

#[tokio::test]
async fn each_status_is_told_by_what_to_do() {
    for (status, body, reason) in [
        (404, "workload certificate feature not enabled", "feature_off"),
        (404, "<p>The requested URL was not found</p>", "not_found"),
        (412, "", "never_configured"),
        (403, "", "forbidden"),
        (429, "", "busy"),
        (503, "", "busy"),
        (301, "", "status"),
        (204, "", "status"),
    ] {
        assert_eq!(
            refused(Told::status(status, body)).await.reason(),
            reason,
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn who_answers_without_the_flavor_is_no_metadata_server() {
    for told in [
        Told::json("{}").flavor(None),
        Told::json("{}").flavor(Some("google")),
    ] {
        assert_eq!(refused(told).await.reason(), "not_metadata");
    }
}

#[tokio::test]
async fn an_answer_has_a_largest_size() {
    for told in [
        Told::json(&"x".repeat(LARGEST_BODY + 1)),
        Told::json(&"x".repeat(LARGEST_BODY + 1)).without_length(),
    ] {
        let error = refused(told).await;
        assert_eq!(error.reason(), "too_large");
        assert!(error.is_lasting(), "asking again makes it no smaller");
        assert!(error.to_string().contains("4194304"), "{error}");
    }
    let whole = get(Told::json(&"x".repeat(LARGEST_BODY))).await.unwrap();
    assert_eq!(whole.body.len(), LARGEST_BODY);
}

#[tokio::test]
async fn a_short_or_absent_server_is_told_as_such() {
    assert_eq!(
        refused(Told::json("{}").cut_short()).await.reason(),
        "broken_answer"
    );
    let gone = Server::start().address();
    let error = Client::new(gone).read(PATH).await.unwrap_err();
    assert_eq!(error.reason(), "unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for() {
    // On this runtime, so that the paused clock sees that all wait for it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let began = tokio::time::Instant::now();
    let error = client.read(PATH).await.unwrap_err();
    assert_eq!((error.reason(), began.elapsed()), ("timed_out", ANSWER_WITHIN));
}

#[tokio::test]
async fn a_path_that_is_none_is_not_asked() {
    let error = Client::new(([127, 0, 0, 1], 9).into())
        .read("a b")
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "path");
}
