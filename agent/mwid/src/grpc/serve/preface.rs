//! The first bytes of a connection. In: a stream. Out: whether HTTP/2 follows; who speaks HTTP/1 is told what is spoken here. Never reads
//! beyond the preface of one who speaks HTTP/2.
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 9113, section 3.4.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http2,
    Http1,
    /// Neither, or nothing.
    Other,
}

pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Spoken> {
    let mut have = [0; PREFACE.len()];
    let mut length = 0;
    while length < have.len() {
        let more = stream.read(&mut have[length..]).await?;
        length += more;
        if more == 0 {
            return Ok(Spoken::Other);
        }
        if have[..length] != PREFACE[..length] {
            return Ok(match have[0] {
                b'A'..=b'Z' => Spoken::Http1,
                _ => Spoken::Other,
            });
        }
    }
    Ok(Spoken::Http2)
}

const REFUSAL: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 87\r\n\
    connection: close\r\n\
    \r\n\
    this socket speaks gRPC: use HTTP/2 with prior knowledge, or a client of that protocol\n";
/// Of a request in HTTP/1, so much is read before the connection is closed: a client that still writes would not see the answer.
const MOST: u64 = 64 * 1024;

pub(super) async fn refuse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
    }

    #[tokio::test]
    async fn what_is_spoken_is_told_from_the_first_byte_that_differs() {
        for (bytes, spoken) in [
            (&PREFACE[..], Spoken::Http2),
            (b"GET / HTTP/1.1", Spoken::Http1),
            (b"POST", Spoken::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Spoken::Http1),
            (b"PRI * HTTP", Spoken::Other),
            (b"\x16\x03\x01", Spoken::Other),
            (b"", Spoken::Other),
        ] {
            assert_eq!(read(&mut &bytes[..]).await.unwrap(), spoken, "{bytes:?}");
        }
    }
}
