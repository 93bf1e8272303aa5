//! Bytes that no client library sends: the caller is told no, and others are served on.
use super::{Check, Document, Look, Outcome, fails, must, should};
use crate::messages::workload::{Empty, FETCH_JWT_SVID, FETCH_X509_SVID};
use crate::seen::Server;
use crate::wire::{Ask, Event, Trouble, frame, within};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const CHECKS: &[Check] = &[
    should(
        "framing.no-message",
        Document::Grpc,
        "Status codes, cardinality",
        "a call that takes one request and got none is refused",
        Look::Ask(|s| Box::pin(refused(s, Ask::open(FETCH_X509_SVID).bytes(Bytes::new())))),
    ),
    should(
        "framing.truncated",
        Document::Grpc,
        "HTTP2, Errors",
        "a request that ends in the middle of a message is refused",
        Look::Ask(|s| {
            Box::pin(refused(
                s,
                Ask::open(FETCH_X509_SVID).bytes(&b"\0\0\0\0\x09abc"[..]),
            ))
        }),
    ),
    should(
        "framing.garbage",
        Document::Grpc,
        "Status codes, request proto",
        "a message that is no protobuf is refused",
        Look::Ask(|s| {
            Box::pin(refused(
                s,
                Ask::open(FETCH_JWT_SVID).bytes(frame::prefixed(0, &[0x0a, 0x7f, 1])),
            ))
        }),
    ),
    should(
        "framing.too-long",
        Document::Grpc,
        "Status codes, limits",
        "a message that says it has two gigabytes is refused before they are sent",
        Look::Ask(|s| Box::pin(too_long(s))),
    ),
    must(
        "framing.cancel",
        Document::Grpc,
        "HTTP2, Client Cancellation",
        "a stream that the client cancels ends alone: the connection serves on",
        Look::Ask(|s| Box::pin(cancel(s))),
    ),
    must(
        "framing.preface",
        Document::Http2,
        "3.4",
        "a connection that does not begin with HTTP/2's preface is closed",
        Look::Ask(|s| Box::pin(preface(s))),
    ),
];

async fn refused(server: &Server, ask: Ask) -> Outcome {
    server.x509.get()?;
    match server.first(ask).await? {
        Event::End(end) if end.refused() => Ok(end.to_string()),
        Event::End(end) => fails(format!("told {end}")),
        Event::Message(_) => fails("served"),
    }
}

async fn too_long(server: &Server) -> Outcome {
    server.x509.get()?;
    let ask = Ask::open(FETCH_X509_SVID).begins(&b"\0\x7f\xff\xff\xff"[..]);
    match server.first(ask).await {
        Ok(Event::End(end)) if end.refused() => Ok(end.to_string()),
        Ok(Event::End(end)) => fails(format!("told {end}")),
        Ok(Event::Message(_)) => fails("served"),
        Err(Trouble::Slow(time)) => fails(format!("the server still waits for them after {time:?}")),
        Err(trouble) => Err(trouble.into()),
    }
}

async fn cancel(server: &Server) -> Outcome {
    server.x509.get()?;
    let channel = server.another().await?;
    let patience = server.options.times.patience;
    let ask = || Ask::one(FETCH_X509_SVID, &Empty {});
    let mut first = channel.call(ask(), patience).await?;
    first.next().await?;
    first.cancel();
    match channel.call(ask(), patience).await?.next().await? {
        Event::Message(_) => Ok("served after a cancellation".to_owned()),
        Event::End(end) => fails(format!("after a cancellation, told {end}")),
    }
}

async fn preface(server: &Server) -> Outcome {
    let patience = server.options.times.patience;
    let mut stream = within(patience, server.options.endpoint.connect())
        .await?
        .map_err(Trouble::Connect)?;
    let request = b"GET /SpiffeWorkloadAPI/FetchX509SVID HTTP/1.1\r\nHost: localhost\r\nworkload.spiffe.io: true\r\n\r\n";
    // A server that closes at once may do so while we write.
    drop(stream.write_all(request).await);
    let mut came = vec![];
    match within(patience, stream.read_to_end(&mut came)).await {
        Err(_) => fails("the connection stays open"),
        Ok(_) if came.starts_with(b"HTTP/1.1 2") => fails("HTTP/1.1 is served"),
        Ok(_) => Ok("closed".to_owned()),
    }
}
