//! Streams: shared frames, slow readers, bidirectional ones, and the end of the server.
use super::*;
use crate::grpc::client::{CallError, Method};
use crate::grpc::status::Code;
use crate::grpc::{Frame, Status};
use crate::proto::health::{HealthCheckRequest as Question, HealthCheckResponse as Told};
use hyper::Request;

#[tokio::test(start_paused = true)]
async fn each_of_many_streams_gets_each_frame() {
    let server = start(Limits::default());
    let client = server.client().await;
    let mut all = vec![];
    for _ in 0..100 {
        all.push(
            client
                .server_streaming::<Told>(Method::at(LATEST), NOTHING)
                .await
                .unwrap(),
        );
    }
    for number in 0..5 {
        server.tester.latest.send_replace(Some(told(number)));
        for answers in &mut all {
            assert_eq!(answers.next().await.unwrap().unwrap().status, number);
        }
    }
    assert_eq!(server.counters.streams(), 100);
    works(&client).await;
    server.tester.latest.send_replace(None);
    for answers in &mut all {
        let error = answers.next().await.unwrap_err();
        assert!(
            matches!(&error, CallError::Refused(s) if s.code == Code::UNAVAILABLE),
            "{error}"
        );
    }
    assert_eq!(server.counters.streams(), 0);
    assert_eq!(*server.tester.dropped.borrow(), 101);
}

/// A stream whose client takes nothing beyond its window until it says so.
async fn stingy(server: &Running, window: u32) -> (h2::RecvStream, tokio::task::JoinHandle<()>) {
    stingy_at(LATEST, Frame::of(NOTHING).into_bytes(), server, window).await
}

async fn stingy_at(
    path: &str,
    asks: hyper::body::Bytes,
    server: &Running,
    window: u32,
) -> (h2::RecvStream, tokio::task::JoinHandle<()>) {
    let (mut sender, driver) = h2::client::Builder::new()
        .initial_window_size(window)
        .handshake::<_, hyper::body::Bytes>(server.connect())
        .await
        .unwrap();
    let driver = tokio::spawn(async move { drop(driver.await) });
    let (parts, _) = post(path, "").into_parts();
    let (answer, mut stream) = sender
        .send_request(Request::from_parts(parts, ()), false)
        .unwrap();
    stream.send_data(asks, true).unwrap();
    (answer.await.unwrap().into_body(), driver)
}

fn large(number: u8) -> Frame {
    Frame::of(&question(&char::from(number).to_string().repeat(3000)))
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_newest_and_what_was_under_way_and_holds_no_more() {
    let server = start(Limits::default());
    server.tester.latest.send_replace(Some(large(b'a')));
    let (mut slow, driver) = stingy(&server, 100).await;
    let client = server.client().await;
    let mut fast = client
        .server_streaming::<Question>(Method::at(LATEST), NOTHING)
        .await
        .unwrap();
    assert!(fast.next().await.unwrap().unwrap().service.starts_with('a'));
    for number in b'b'..=b'z' {
        let frame = large(number);
        let bytes = frame.bytes();
        server.tester.latest.send_replace(Some(frame));
        let got = fast.next().await.unwrap().unwrap();
        assert!(
            got.service.starts_with(char::from(number)),
            "the fast one is not delayed"
        );
        drop(bytes);
    }
    let mut all = Vec::new();
    while all.len() < 2 * 3008 {
        let data = slow.data().await.unwrap().unwrap();
        slow.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    let [first, second] = [&all[..3008], &all[3008..]];
    assert_eq!(
        (first[8], second[8]),
        (b'a', b'z'),
        "what was between is given up"
    );
    assert_eq!(all.len(), 2 * 3008);
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_a_slow_reader_gave_up_is_free() {
    let server = start(Limits::default());
    server.tester.latest.send_replace(Some(large(b'a')));
    let (_slow, driver) = stingy(&server, 100).await;
    let second = large(b'b');
    let bytes = second.bytes();
    server.tester.latest.send_replace(Some(second));
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.tester.latest.send_replace(Some(large(b'c')));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(bytes.is_unique(), "somebody still holds it");
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_status_does_not_wait_for_a_slow_reader_to_take_what_is_revoked() {
    let server = start(Limits::default());
    server.tester.latest.send_replace(Some(large(b'a')));
    let (mut slow, driver) = stingy(&server, 4000).await;
    server.tester.latest.send_replace(Some(large(b'b')));
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.tester.latest.send_replace(Some(large(b'c')));
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.tester.latest.send_replace(None);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(server.counters.calls(Code::UNAVAILABLE), 1);
    let mut all = Vec::new();
    while let Some(data) = slow.data().await {
        let data = data.unwrap();
        slow.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    assert!(!all.contains(&b'c'));
    assert_eq!(slow.trailers().await.unwrap().unwrap()["grpc-status"], "14");
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.until(|s| s.counters.streams() == 0).await;
    driver.abort();
}

/// What a client that opens no window gets until its stream is broken off, and how it is.
async fn until_broken_off(stream: &mut h2::RecvStream) -> (usize, h2::Reason) {
    let mut got = 0;
    loop {
        let data = tokio::time::timeout(Duration::from_secs(10), stream.data());
        match data.await.unwrap().expect("a stream that ends is not broken off") {
            Ok(data) => got += data.len(),
            Err(error) => return (got, error.reason().unwrap()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_reaches_a_client_whose_window_is_closed_and_what_waited_for_it_does_not() {
    // Of whatever code: the process of who is told to come again may have ended, and another one read on.
    let codes = [
        (Code::PERMISSION_DENIED, h2::Reason::INADEQUATE_SECURITY),
        (Code::UNAVAILABLE, h2::Reason::REFUSED_STREAM),
    ];
    let calls = [
        (EACH, two()),
        (ONE_WHILE, large(b'a').into_bytes()),
        (LATEST, Frame::of(NOTHING).into_bytes()),
    ];
    for (code, reason) in codes {
        for (path, asks) in calls.clone() {
            let server = start(Limits::default());
            server.tester.latest.send_replace(Some(large(b'a')));
            let (mut stream, driver) = stingy_at(path, asks, &server, 100).await;
            // Until a part of the first waits.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(server.counters.streams(), 1);
            let denied = Status::new(code, "no identity issued").taking_back();
            server.tester.revoked.send_replace(Some(denied));
            server.tester.latest.send_replace(None);
            let began = tokio::time::Instant::now();
            let end = until_broken_off(&mut stream).await;
            assert_eq!(end, (100, reason), "{path} {code}");
            assert!(began.elapsed().as_millis() < 10, "{:?}", began.elapsed());
            server.until(|s| s.counters.streams() == 0).await;
            assert_eq!(server.counters.calls(code), 1);
            driver.abort();
        }
    }
}

fn two() -> hyper::body::Bytes {
    [large(b'a').into_bytes(), large(b'b').into_bytes()]
        .concat()
        .into()
}

/// The end of a call of which nothing waits is told in words.
#[tokio::test(start_paused = true)]
async fn nothing_is_made_for_a_client_whose_window_is_closed_and_its_denial_is_told() {
    for (path, asks) in [(EACH, two()), (ONE_WHILE, large(b'a').into_bytes())] {
        let server = start(Limits::default());
        let (mut stream, driver) = stingy_at(path, asks, &server, 0).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!((server.counters.streams(), *server.tester.made.borrow()), (1, 0));
        let denied = Status::new(Code::PERMISSION_DENIED, "no identity issued").taking_back();
        server.tester.revoked.send_replace(Some(denied));
        assert!(stream.data().await.is_none(), "{path}");
        let trailers = stream.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-message"], "no identity issued", "{path}");
        driver.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_needs_no_more_of_the_window_than_it_has_bytes() {
    for (path, length) in [ONE, ONE_WHILE]
        .iter()
        .flat_map(|path| [9, 63, 64, 65, 66, 3000].map(|n| (path, n)))
    {
        let server = start(Limits::default());
        // Of gRPC's frame and the field's head.
        let heads = if length < 128 { 7 } else { 8 };
        let asks = Frame::of(&question(&"a".repeat(length - heads)));
        assert_eq!(asks.len(), length);
        let began = tokio::time::Instant::now();
        let window = u32::try_from(length).unwrap();
        let (mut stream, driver) = stingy_at(path, asks.bytes(), &server, window).await;
        let mut got = vec![];
        while let Some(data) = stream.data().await {
            got.extend_from_slice(&data.unwrap());
        }
        assert_eq!(got, asks.bytes(), "{path} {length}");
        let trailers = stream.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0", "{path} {length}");
        assert!(began.elapsed().as_millis() < 10, "{path} {length}");
        server.until(|s| s.counters.streams() == 0).await;
        // One byte less, and it waits for that.
        let (mut stream, second) = stingy_at(path, asks.bytes(), &server, window - 1).await;
        let mut got = 0;
        while got < length - 1 {
            got += stream.data().await.unwrap().unwrap().len();
        }
        assert_eq!(server.counters.streams(), 1, "{path} {length}");
        stream.flow_control().release_capacity(1).unwrap();
        driver.abort();
        second.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_message_that_is_over_is_taken_back_and_the_next_is_not_made_before_it_is_taken() {
    let server = start(Limits::default());
    let (mut slow, driver) = stingy_at(EACH, two(), &server, 100).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(*server.tester.made.borrow(), 1);
    let mut got = 0;
    while got <= 3008 {
        let data = slow.data().await.unwrap().unwrap();
        slow.flow_control().release_capacity(data.len()).unwrap();
        got += data.len();
    }
    assert_eq!(*server.tester.made.borrow(), 2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let gone = Status::new(Code::UNAVAILABLE, "expired");
    server.tester.over.send_replace(Some(gone));
    let (more, reason) = until_broken_off(&mut slow).await;
    assert!(got + more < 2 * 3008, "{got} {more}");
    assert_eq!(reason, h2::Reason::REFUSED_STREAM);
    server.until(|s| s.counters.streams() == 0).await;
    assert_eq!(server.counters.calls(Code::UNAVAILABLE), 1);
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_the_newest_message_is_taken_back_when_it_is_over_and_not_what_was_taken() {
    let server = start(Limits::default());
    server.tester.latest.send_replace(Some(large(b'a')));
    let (mut half, half_driver) = stingy(&server, 100).await;
    let client = server.client().await;
    let mut whole = client
        .server_streaming::<Question>(Method::at(LATEST), NOTHING)
        .await
        .unwrap();
    assert!(whole.next().await.unwrap().unwrap().service.starts_with('a'));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let over = Status::new(Code::UNAVAILABLE, "over");
    server.tester.over.send_replace(Some(over));
    assert_eq!(
        until_broken_off(&mut half).await,
        (100, h2::Reason::REFUSED_STREAM)
    );
    server.until(|s| s.counters.streams() == 1).await;
    server.tester.over.send_replace(None);
    server.tester.latest.send_replace(Some(large(b'b')));
    assert!(whole.next().await.unwrap().unwrap().service.starts_with('b'));
    half_driver.abort();
}

#[tokio::test(start_paused = true)]
async fn other_ends_wait_a_second_for_a_client_whose_window_is_closed() {
    let server = start(Limits::default());
    server.tester.latest.send_replace(Some(large(b'a')));
    let (mut stream, driver) = stingy(&server, 100).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = tokio::time::Instant::now();
    server.tester.latest.send_replace(None);
    let end = until_broken_off(&mut stream).await;
    assert_eq!(end, (100, h2::Reason::REFUSED_STREAM));
    let after = began.elapsed();
    assert!((1000..1100).contains(&after.as_millis()), "{after:?}");
    assert_eq!(server.counters.streams(), 0);
    assert_eq!(server.counters.calls(Code::UNAVAILABLE), 1, "counted once");
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_both_directions_answers_each_message_in_turn() {
    let server = start(Limits::default());
    let (mut sender, driver) = h2::client::handshake(server.connect()).await.unwrap();
    let driver = tokio::spawn(async move { drop(driver.await) });
    let (parts, _) = post(EACH, "").into_parts();
    let (answer, mut stream) = sender
        .send_request(Request::from_parts(parts, ()), false)
        .unwrap();
    let mut answer = answer.await.unwrap().into_body();
    for number in 0..20 {
        let sent = Frame::of(&question(&number.to_string())).into_bytes();
        stream.send_data(sent.clone(), number == 19).unwrap();
        let got = answer.data().await.unwrap().unwrap();
        assert_eq!(got, sent);
        answer.flow_control().release_capacity(got.len()).unwrap();
    }
    assert!(answer.data().await.is_none());
    assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_off_is_not_worked_for_any_more() {
    let server = start(Limits::default());
    let client = server.client().await;
    for path in [LATEST, SLOW] {
        let before = *server.tester.dropped.borrow();
        let asked = client.server_streaming::<Told>(Method::at(path), NOTHING);
        let asked = tokio::time::timeout(Duration::from_secs(1), asked).await;
        assert_eq!(asked.is_ok(), path == LATEST);
        drop(asked);
        server.until(|s| *s.tester.dropped.borrow() == before + 1).await;
    }
    assert_eq!(server.counters.calls(Code::CANCELLED), 2);
    works(&client).await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_streams_are_told_to_connect_anew_and_work_is_finished() {
    let server = start(Limits::default());
    let client = server.client().await;
    let mut stream = client
        .server_streaming::<Told>(Method::at(LATEST), NOTHING)
        .await
        .unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().status, 0);
    let began = tokio::time::Instant::now();
    server.stop.cancel();
    let error = stream.next().await.unwrap_err();
    assert!(
        matches!(&error, CallError::Refused(s) if s.code == Code::UNAVAILABLE),
        "{error}"
    );
    drop((stream, client));
    server.ended.await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(100),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let server = start(Limits::default());
    let client = server.client().await;
    let asked = client.server_streaming::<Told>(Method::at(SLOW), NOTHING);
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err());
    let client = server.client().await;
    let asked = client.unary::<Told>(Method::at(SLOW), NOTHING);
    let asked = async {
        let began = tokio::time::Instant::now();
        assert!(asked.await.is_err());
        began.elapsed()
    };
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.stop.cancel();
    };
    let (after, ()) = tokio::join!(asked, stop);
    assert_eq!(after.as_secs(), 6);
    server.ended.await.unwrap();
}
