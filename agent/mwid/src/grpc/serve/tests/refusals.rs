//! What is wrong with a call is told in the way that its caller understands.
use super::*;
use crate::grpc::client::{CallError, Method};
use crate::grpc::status::Code;
use crate::proto::health::HealthCheckRequest as Question;
use hyper::StatusCode;

fn status(headers: &hyper::HeaderMap) -> (String, String) {
    let text = |name| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    (text("grpc-status"), text("grpc-message"))
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_head_message_and_trailers_and_a_refusal_all_in_the_head() {
    let server = start(Limits::default());
    let good = crate::grpc::Frame::of(&question("x")).into_bytes();
    let got = ask(server.connect(), post(ONE, good.clone())).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.head["content-type"], "application/grpc");
    assert_eq!(got.body, good);
    assert_eq!(status(&got.trailers.unwrap()), ("0".to_owned(), String::new()));
    let got = ask(server.connect(), post(DENIED, good)).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(
        status(&got.head),
        ("7".to_owned(), "no identity issued".to_owned())
    );
    assert!(got.body.is_empty() && got.trailers.is_none());
    assert_eq!(server.counters.calls(Code::OK), 1);
    assert_eq!(server.counters.calls(Code::PERMISSION_DENIED), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_of_no_more_use_closes_after_its_call_was_answered() {
    let server = start(Limits::default());
    let client = server.client().await;
    works(&client).await;
    server
        .tester
        .spent
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let error = client
        .unary::<Question>(Method::at(DENIED), &question("x"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Refused(s) if s.code == Code::PERMISSION_DENIED),
        "{error}"
    );
    let began = tokio::time::Instant::now();
    while server.counters.http.open() == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed() < Duration::from_secs(2), "it stays open");
    }
    server
        .tester
        .spent
        .store(false, std::sync::atomic::Ordering::SeqCst);
    works(&server.client().await).await;
}

#[tokio::test(start_paused = true)]
async fn who_speaks_no_grpc_is_told_in_http() {
    let server = start(Limits::default());
    for (path, kind, method, expected) in [
        (ONE, "application/json", "POST", 415),
        (ONE, "application/grpc+json", "POST", 415),
        (ONE, "", "POST", 415),
        ("/other", "text/html", "GET", 404),
        ("/", "", "GET", 404),
        (ONE, "application/grpc", "GET", 405),
    ] {
        let mut request = post(path, "");
        *request.method_mut() = method.parse().unwrap();
        request.headers_mut().remove("content-type");
        if !kind.is_empty() {
            request
                .headers_mut()
                .insert("content-type", kind.parse().unwrap());
        }
        let got = ask(server.connect(), request).await;
        assert_eq!(got.status, expected, "{path} {kind} {method}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_frames_has_its_status() {
    let server = start(Limits {
        message_bytes: 100,
        ..Limits::default()
    });
    let whole = crate::grpc::Frame::of(&question("x")).into_bytes();
    for (body, code, words) in [
        (vec![], "12", "none%20came"),
        ([&whole[..], &whole].concat(), "12", "more%20came"),
        (vec![1, 0, 0, 0, 0], "13", "compressed"),
        (vec![0xff, 0, 0, 0, 0], "13", "compressed"),
        (vec![0, 0, 0, 0, 9, 1], "13", "ended%20within"),
        (vec![0, 0], "13", "ended%20within"),
        (vec![0, 0, 0, 0, 2, 0x0a, 9], "13", "not%20the%20message"),
        (vec![0, 0, 0, 0, 101], "8", "101%20bytes"),
        (vec![0, 0xff, 0xff, 0xff, 0xff], "8", "allowed%20100"),
    ] {
        let got = ask(server.connect(), post(ONE, body.clone())).await;
        let (status, message) = status(&got.head);
        assert_eq!(status, code, "{body:?}");
        assert!(message.contains(&words.replace("%20", " ")), "{message}");
    }
    let mut request = post("/t.T/None", whole.clone());
    let got = ask(server.connect(), request).await;
    assert_eq!(status(&got.head).0, "12");
    request = post(ONE, whole.clone());
    request
        .headers_mut()
        .insert("grpc-encoding", "gzip".parse().unwrap());
    let got = ask(server.connect(), request).await;
    assert_eq!(status(&got.head).0, "12");
    assert_eq!(got.head["grpc-accept-encoding"], "identity");
    request = post(ONE, whole);
    request
        .headers_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    let got = ask(server.connect(), request).await;
    assert_eq!(status(&got.head).0, "3");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_no_longer_waits_is_told_so_in_time() {
    let server = start(Limits::default());
    let client = server.client().await;
    let began = tokio::time::Instant::now();
    let method = Method {
        timeout: Some(Duration::from_secs(7)),
        ..Method::at(SLOW)
    };
    let error = client.unary::<Question>(method, NOTHING).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused(s) if s.code == Code::DEADLINE_EXCEEDED),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(*server.tester.dropped.borrow(), 1, "nobody works on it any more");
    works(&client).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_is_not_waited_for() {
    let server = start(Limits::default());
    let (mut sender, driver) = h2::client::handshake(server.connect()).await.unwrap();
    let driver = tokio::spawn(driver);
    let (parts, _) = post(ONE, "").into_parts();
    let request = hyper::Request::from_parts(parts, ());
    let began = tokio::time::Instant::now();
    let (answer, _stream) = sender.send_request(request, false).unwrap();
    let got = answer.await.unwrap();
    assert_eq!(status(got.headers()).0, "4");
    assert_eq!(began.elapsed().as_secs(), 10);
    driver.abort();
}
