//! Clients that mean no good, or do not know better. The others are served meanwhile.
use super::*;
use crate::grpc::client::{CallError, Method};
use crate::grpc::status::Code;
use crate::proto::health::{HealthCheckRequest as Question, HealthCheckResponse as Told};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn rest(client: &mut DuplexStream) -> Vec<u8> {
    let mut got = Vec::new();
    // A reset is an end, too.
    drop(client.read_to_end(&mut got).await);
    got
}

#[tokio::test(start_paused = true)]
async fn http_1_is_told_what_is_spoken_here_and_others_are_closed() {
    let server = start(Limits::default());
    let mut client = server.connect();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let got = String::from_utf8(rest(&mut client).await).unwrap();
    assert!(got.starts_with("HTTP/1.1 505 ") && got.contains("gRPC"), "{got}");
    for other in [&b"\x16\x03\x01\x00"[..], b"PRI * HTTP/2.0\r\n\r\nXX", b"\0"] {
        let mut client = server.connect();
        client.write_all(other).await.unwrap();
        client.shutdown().await.unwrap();
        rest(&mut client).await;
    }
    works(&server.client().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_time_and_no_more() {
    let limits = Limits::default();
    let server = start(limits.clone());
    let time_of = |bytes: Vec<u8>| {
        let mut client = server.connect();
        async move {
            let began = Instant::now();
            client.write_all(&bytes).await.unwrap();
            rest(&mut client).await;
            began.elapsed()
        }
    };
    assert_eq!(time_of(vec![]).await.as_secs(), 10, "silent");
    assert_eq!(
        time_of(PREFACE[..9].to_vec()).await.as_secs(),
        10,
        "half a preface"
    );
    let first = time_of([PREFACE, SETTINGS].concat()).await;
    assert!((60..=61).contains(&first.as_secs()), "no call: {first:?}");
    let client = server.client().await;
    works(&client).await;
    let began = Instant::now();
    server.until(|s| s.counters.http.open() == 1).await;
    while server.counters.http.open() == 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let idle = began.elapsed();
    assert!((300..=302).contains(&idle.as_secs()), "{idle:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_goes_and_one_that_is_only_quiet_stays() {
    let server = start(Limits::default());
    let client = server.client().await;
    let mut quiet = client
        .server_streaming::<Told>(Method::at(LATEST), NOTHING)
        .await
        .unwrap();
    assert_eq!(quiet.next().await.unwrap().unwrap().status, 0);
    // One that sent its call and never reads or writes again.
    let mut dead = server.connect();
    let block = [
        &[0x83, 0x86][..],
        &[0x04, 11],
        b"/t.T/Latest",
        &[0x0f, 0x10, 16],
        b"application/grpc",
    ]
    .concat();
    let length = u8::try_from(block.len()).unwrap();
    let head = [&[0, 0, length, 1, 4, 0, 0, 0, 1][..], &block].concat();
    let data = [0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    dead.write_all(&[PREFACE, SETTINGS, &head, &data].concat())
        .await
        .unwrap();
    server.until(|s| s.counters.streams() == 2).await;
    let began = Instant::now();
    while server.counters.streams() == 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let gone = began.elapsed();
    assert!(gone.as_secs() > 300 && gone.as_secs() <= 902, "{gone:?}");
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    server.tester.latest.send_replace(Some(told(7)));
    assert_eq!(quiet.next().await.unwrap().unwrap().status, 7);
}

#[tokio::test(start_paused = true)]
async fn one_user_has_his_share_of_the_streams() {
    let server = start(Limits {
        streams: 16,
        ..Limits::default()
    });
    let (one, other, root) = (
        server.client_as(1000).await,
        server.client_as(1001).await,
        server.client_as(0).await,
    );
    let mut open = vec![];
    let error = loop {
        match one.server_streaming::<Told>(Method::at(LATEST), NOTHING).await {
            Ok(answers) => open.push(answers),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, CallError::Refused(s) if s.code == Code::UNAVAILABLE),
        "{error}"
    );
    assert_eq!(open.len(), 4, "a quarter of 16");
    works(&other).await;
    works(&root).await;
    open.pop();
    server.until(|s| s.counters.streams() == 3).await;
    works(&one).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_over_its_users_share_is_told_so_and_closed() {
    let server = start(Limits {
        connections: 16,
        ..Limits::default()
    });
    let mut open = vec![];
    for _ in 0..4 {
        let client = server.client_as(1000).await;
        works(&client).await;
        open.push(client);
    }
    let mut over = server.connect_as(1000);
    // It may be told before it says anything.
    drop(over.write_all(&[PREFACE, SETTINGS].concat()).await);
    let got = rest(&mut over).await;
    assert!(got.starts_with(SETTINGS), "{got:02x?}");
    let stream = server.connect_as(1000);
    let (mut sender, driver) = h2::client::handshake(stream).await.unwrap();
    let (parts, _) = post(ONE, "").into_parts();
    drop(sender.send_request(hyper::Request::from_parts(parts, ()), true));
    let end = driver.await.unwrap_err();
    assert!(end.is_go_away() && end.is_remote(), "{end}");
    assert_eq!(end.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    works(&server.client_as(1001).await).await;
    // Who does not listen keeps nobody from being served.
    let deaf: Vec<_> = (0..200).map(|_| server.connect_as(1000)).collect();
    works(&server.client_as(1001).await).await;
    drop(deaf);
    open.pop();
    server.until(|s| s.counters.http.open() == 3).await;
    works(&server.client_as(1000).await).await;
}

/// Messages whose end never comes.
#[tokio::test(start_paused = true)]
async fn one_user_has_his_share_of_the_memory_for_messages_that_are_not_whole() {
    let server = start(Limits {
        half_messages: 256 * 1024,
        ..Limits::default()
    });
    let half = hyper::body::Bytes::from([&[0, 0, 0, 0x4e, 0x20][..], &[1; 15_000]].concat());
    let (mut open, mut refused) = (vec![], 0);
    for _ in 0..8 {
        let stream = server.connect_as(1000);
        let (mut sender, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(driver.await) });
        let (parts, _) = post(EACH, "").into_parts();
        let request = hyper::Request::from_parts(parts, ());
        let (answer, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(half.clone(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let trailers = tokio::time::timeout(Duration::from_secs(1), body.trailers());
        if let Ok(trailers) = trailers.await {
            assert_eq!(trailers.unwrap().unwrap()["grpc-status"], "14");
            refused += 1;
        }
        open.push((sender, stream, body));
    }
    assert!(
        (3..=5).contains(&refused),
        "{refused} of 8, each 15 KB of a share of 64"
    );
    works(&server.client_as(1000).await).await;
    works(&server.client_as(1001).await).await;
    drop(open);
    server.until(|s| s.counters.streams() == 0).await;
}

/// Answers that are never read.
#[tokio::test(start_paused = true)]
async fn one_user_has_his_share_of_the_memory_for_what_it_does_not_read() {
    let server = start(Limits {
        half_messages: 256 * 1024,
        ..Limits::default()
    });
    let asks = crate::grpc::Frame::of(&question(&"x".repeat(15_000))).into_bytes();
    let mut open = vec![];
    for _ in 0..8 {
        let (mut sender, driver) = h2::client::Builder::new()
            .initial_window_size(1)
            .handshake::<_, hyper::body::Bytes>(server.connect_as(1000))
            .await
            .unwrap();
        tokio::spawn(async move { drop(driver.await) });
        let (parts, _) = post(EACH, "").into_parts();
        let request = hyper::Request::from_parts(parts, ());
        let (answer, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(asks.clone(), false).unwrap();
        open.push((answer.await.unwrap(), sender, stream));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = server.counters.calls(Code::UNAVAILABLE);
    assert_eq!(refused, 4, "of 8, each 15 KB of a share of 64");
    works(&server.client_as(1000).await).await;
    drop(open);
    server.until(|s| s.counters.streams() == 0).await;
    works(&server.client_as(1000).await).await;
}

/// Answers of a few bytes, of which no window is open for more than one.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_keeps_its_seat_until_its_time_is_over() {
    let server = start(Limits {
        streams: 16,
        ..Limits::default()
    });
    let asks = crate::grpc::Frame::of(NOTHING).into_bytes();
    let mut open = vec![];
    for _ in 0..4 {
        let (mut sender, driver) = h2::client::Builder::new()
            .initial_window_size(1)
            .handshake::<_, hyper::body::Bytes>(server.connect_as(1000))
            .await
            .unwrap();
        tokio::spawn(async move { drop(driver.await) });
        for path in [ONE, DENIED] {
            let (parts, _) = post(path, "").into_parts();
            let request = hyper::Request::from_parts(parts, ());
            let (answer, mut stream) = sender.send_request(request, false).unwrap();
            stream.send_data(asks.clone(), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.headers().contains_key("grpc-status"), path == DENIED);
            open.push((answer, sender.clone(), stream));
        }
    }
    assert_eq!(server.counters.streams(), 4, "what was refused is gone");
    let client = server.client_as(1000).await;
    let refused = client.unary::<Question>(Method::at(ONE), NOTHING).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, CallError::Refused(s) if s.code == Code::UNAVAILABLE),
        "{refused}"
    );
    works(&server.client_as(1001).await).await;
    let began = Instant::now();
    let (answer, ..) = open.remove(0);
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap().len(), 1, "of five");
    let end = body.data().await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(h2::Reason::CANCEL), "{end}");
    assert!(
        (29..=31).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    server.until(|s| s.counters.streams() == 0).await;
    works(&client).await;
}

/// Refusals that are all in their heads need no window, but somebody who reads.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_his_refusals_has_his_seats_full_of_them_and_then_loses_the_connection() {
    let server = start(Limits {
        streams: 64,
        ..Limits::default()
    });
    let (no_grpc, denied) = ([&[0x83, 0x86, 0x04, 7][..], b"/t.T/On"].concat(), {
        let path = [&[0x83, 0x86, 0x04, 11][..], b"/t.T/Denied"].concat();
        [&path, &[0x0f, 0x10, 16][..], b"application/grpc"].concat()
    });
    for block in [no_grpc, denied] {
        let mut client = server.connect_as_by(1000, 1024);
        let length = u8::try_from(block.len()).unwrap();
        let mut calls = [PREFACE, SETTINGS].concat();
        for id in (1..500_u32).step_by(2) {
            calls.extend([&[0, 0, length, 1, 5][..], &id.to_be_bytes(), &block].concat());
        }
        let sent = tokio::time::timeout(Duration::from_secs(5), client.write_all(&calls));
        assert!(sent.await.is_ok_and(|sent| sent.is_err()), "it could send all");
        server.until(|s| s.counters.http.open() == 0).await;
        assert_eq!(server.counters.streams(), 0);
    }
    works(&server.client_as(1001).await).await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_has_so_many_streams_and_the_next_call_waits() {
    let server = start(Limits {
        streams_of_connection: 4,
        ..Limits::default()
    });
    let client = server.client().await;
    let mut open = vec![];
    for _ in 0..4 {
        open.push(
            client
                .server_streaming::<Told>(Method::at(LATEST), NOTHING)
                .await
                .unwrap(),
        );
    }
    let next = client.unary::<Question>(Method::at(ONE), NOTHING);
    assert!(tokio::time::timeout(Duration::from_secs(1), next).await.is_err());
    open.pop();
    works(&client).await;
    works(&server.client().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_as_fast_as_it_asks_loses_its_connection() {
    let server = start(Limits::default());
    let client = server.connect();
    let block = [
        &[0x83, 0x86][..],
        &[0x04, 7],
        b"/t.T/On",
        &[0x0f, 0x10, 16],
        b"application/grpc",
    ]
    .concat();
    let length = u8::try_from(block.len()).unwrap();
    let mut flood = [PREFACE, SETTINGS].concat();
    for id in (1..8000_u32).step_by(2) {
        let id = id.to_be_bytes();
        flood.extend([&[0, 0, length, 1, 4][..], &id, &block].concat());
        flood.extend([&[0, 0, 4, 3, 0][..], &id, &[0, 0, 0, 8]].concat());
    }
    let (mut read, mut write) = tokio::io::split(client);
    let sent = tokio::spawn(async move { write.write_all(&flood).await });
    let mut got = Vec::new();
    drop(read.read_to_end(&mut got).await);
    assert!(sent.await.unwrap().is_err(), "it could send all");
    // GOAWAY with ENHANCE_YOUR_CALM.
    assert!(got.windows(4).any(|w| w == [0, 0, 0, 11]), "{got:02x?}");
    works(&server.client().await).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_its_own_connection_only() {
    let server = start(Limits::default());
    let other = server.client().await;
    works(&other).await;
    let mut seed = 7_u32;
    for round in 0..200 {
        let mut bytes = if round % 2 == 0 {
            vec![]
        } else {
            [PREFACE, SETTINGS].concat()
        };
        for _ in 0..100 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.extend((seed >> (round % 24)).to_be_bytes());
        }
        let mut client = server.connect();
        drop(client.write_all(&bytes).await);
        drop(client.shutdown().await);
        rest(&mut client).await;
    }
    works(&other).await;
    assert_eq!(server.counters.http.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_refused() {
    let server = start(Limits::default());
    let mut request = post(ONE, "");
    request
        .headers_mut()
        .insert("x-large", "x".repeat(9 * 1024).parse().unwrap());
    let got = ask(server.connect(), request).await;
    assert_eq!(got.status, 431);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_grpcio_is_served() {
    let server = start(Limits::default());
    let mut client = server.connect();
    let block = [
        &[0x83, 0x86][..],
        &[0x41, 12],
        b"tmp%2Fx.sock",
        &[0x04, 8],
        b"/t.T/One",
        &[0x0f, 0x10, 16],
        b"application/grpc",
    ]
    .concat();
    let length = u8::try_from(block.len()).unwrap();
    let call = |id: u8, block: &[u8]| {
        let length = u8::try_from(block.len()).unwrap();
        [
            &[0, 0, length, 1, 4, 0, 0, 0, id][..],
            block,
            &[0, 0, 5, 0, 1, 0, 0, 0, id, 0, 0, 0, 0, 0],
        ]
        .concat()
    };
    assert_eq!(usize::from(length), block.len());
    client
        .write_all(&[PREFACE, SETTINGS, &call(1, &block)].concat())
        .await
        .unwrap();
    server.until(|s| s.counters.calls(Code::OK) == 1).await;
    // The second call names it by its place in the table.
    let indexed = [&[0x83, 0x86, 0xbe][..], &block[16..]].concat();
    client.write_all(&call(3, &indexed)).await.unwrap();
    server.until(|s| s.counters.calls(Code::OK) == 2).await;
}
