//! gRPC as its own documents have it: a Workload Endpoint is a gRPC server (Workload Endpoint, 3).
use super::{Check, Document, Look, Outcome, fails, holds, must, should, skipped};
use crate::messages::workload::{Empty, FETCH_JWT_SVID, FETCH_X509_SVID, JwtSvidRequest};
use crate::seen::Server;
use crate::wire::{Ask, Code, Event, frame};
use http::{HeaderName, header};

pub(super) const CHECKS: &[Check] = &[
    must(
        "grpc.content-type",
        Document::Grpc,
        "HTTP2, Responses",
        "a response's content-type begins with application/grpc",
        Look::At(content_type),
    ),
    must(
        "grpc.trailers",
        Document::Grpc,
        "HTTP2, Responses",
        "the status stands in trailers also when it is OK",
        Look::Ask(|s| Box::pin(trailers(s))),
    ),
    must(
        "grpc.http-status",
        Document::Grpc,
        "HTTP2, Responses",
        "an error's HTTP status is 200",
        Look::Ask(|s| Box::pin(http_status(s))),
    ),
    must(
        "grpc.message-encoding",
        Document::Grpc,
        "HTTP2, Responses",
        "the message of a status is percent-encoded",
        Look::Ask(|s| Box::pin(message_encoding(s))),
    ),
    should(
        "grpc.wrong-content-type",
        Document::Grpc,
        "HTTP2, Requests",
        "a request whose content-type is not application/grpc gets HTTP status 415",
        Look::Ask(|s| Box::pin(wrong_content_type(s))),
    ),
    must(
        "grpc.path-case",
        Document::Grpc,
        "HTTP2, Requests",
        "the path of a method is case-sensitive",
        Look::Ask(|s| Box::pin(path_case(s))),
    ),
    must(
        "grpc.binary-metadata",
        Document::Grpc,
        "HTTP2, Requests",
        "binary metadata of an application is accepted with and without padding",
        Look::Ask(|s| Box::pin(binary_metadata(s))),
    ),
    must(
        "grpc.unknown-encoding",
        Document::Grpc,
        "Compression, Test cases",
        "a message in an encoding that the server does not know ends with Unimplemented",
        Look::Ask(|s| Box::pin(unknown_encoding(s))),
    ),
    must(
        "grpc.compressed-flag",
        Document::Grpc,
        "Compression, Test cases",
        "a message with the compressed flag but no encoding ends with Internal",
        Look::Ask(|s| Box::pin(compressed_flag(s))),
    ),
];

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

fn x509() -> Ask {
    Ask::one(FETCH_X509_SVID, &Empty {})
}

fn content_type(server: &Server) -> Outcome {
    let head = &server.x509.head;
    let kind = head.content_type.as_deref().unwrap_or_default();
    if head.http.is_none() {
        return skipped("no response came");
    }
    holds(kind.starts_with("application/grpc"), kind, || format!("`{kind}`"))
}

async fn trailers(server: &Server) -> Outcome {
    let request = JwtSvidRequest {
        audience: vec![server.options.audience.clone()],
        spiffe_id: String::new(),
    };
    server.jwt.get()?;
    let mut call = server.call(Ask::one(FETCH_JWT_SVID, &request)).await?;
    let (_, end) = call.finish().await?;
    holds(
        end.in_trailers && end.code == Some(Code::OK),
        "grpc-status: 0",
        || format!("FetchJWTSVID ended with {end}"),
    )
}

/// What a method that is not there ends with.
async fn refusal(server: &Server) -> Result<crate::wire::End, super::Finding> {
    match server
        .first(Ask::one("/SpiffeWorkloadAPI/NoSuchMethod", &Empty {}))
        .await?
    {
        Event::End(end) => Ok(end),
        Event::Message(_) => skipped("no error came"),
    }
}

async fn http_status(server: &Server) -> Outcome {
    let end = refusal(server).await?;
    match end.http {
        Some(status) => holds(status == 200, "200", || format!("HTTP status {status}")),
        None => skipped("no response came"),
    }
}

async fn message_encoding(server: &Server) -> Outcome {
    let without_header = server
        .first(x509().without(&crate::wire::SECURITY_HEADER))
        .await?;
    let mut messages = vec![refusal(server).await?.raw_message];
    if let Event::End(end) = without_header {
        messages.push(end.raw_message);
    }
    let messages: Vec<_> = messages.into_iter().flatten().collect();
    if messages.is_empty() {
        return Ok("no error had a message".to_owned());
    }
    for message in &messages {
        if !is_percent_encoded(message) {
            return fails(format!("{:?}", String::from_utf8_lossy(message)));
        }
    }
    Ok(format!("{} looked at", messages.len()))
}

fn is_percent_encoded(message: &[u8]) -> bool {
    let mut rest = message;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            (b'%', _) => return false,
            (0x20..=0x7e, _) => after,
            _ => return false,
        };
    }
    true
}

async fn wrong_content_type(server: &Server) -> Outcome {
    let ask = x509()
        .without(&header::CONTENT_TYPE)
        .with(header::CONTENT_TYPE, "application/json");
    match server.first(ask).await? {
        Event::End(end) if end.http == Some(415) => Ok("HTTP 415".to_owned()),
        Event::End(end) => fails(format!(
            "HTTP {} with {end}",
            end.http.map_or("none".to_owned(), |http| http.to_string())
        )),
        Event::Message(_) => fails("served a request of application/json"),
    }
}

async fn path_case(server: &Server) -> Outcome {
    match server
        .first(Ask::one("/spiffeworkloadapi/fetchx509svid", &Empty {}))
        .await?
    {
        Event::End(end) if end.refused() => Ok(end.to_string()),
        _ => fails("served under a path in lower case"),
    }
}

async fn binary_metadata(server: &Server) -> Outcome {
    const NAME: HeaderName = HeaderName::from_static("conformance-bin");
    server.x509.get()?;
    for value in ["AAE", "AAE="] {
        if let Event::End(end) = server.first(x509().with(NAME, value)).await? {
            return fails(format!("with conformance-bin: {value}, told {end}"));
        }
    }
    Ok("both served".to_owned())
}

async fn unknown_encoding(server: &Server) -> Outcome {
    let ask = x509()
        .with(ENCODING, "conformance")
        .bytes(frame::prefixed(1, b"?"));
    coded(server, ask, Code::UNIMPLEMENTED).await
}

async fn compressed_flag(server: &Server) -> Outcome {
    coded(server, x509().bytes(frame::prefixed(1, b"")), Code::INTERNAL).await
}

async fn coded(server: &Server, ask: Ask, code: Code) -> Outcome {
    server.x509.get()?;
    match server.first(ask).await? {
        Event::End(end) if end.code == Some(code) => Ok(end.to_string()),
        Event::End(end) => fails(format!("told {end}")),
        Event::Message(_) => fails("served"),
    }
}
