//! Inbound routes with `http`: what an application gets of a request, and a peer of its answer.
mod extended;
mod half_close;
mod limits;
mod misuse;
mod parting;
mod raw;
mod room;
mod streams;

use super::strangers::{self, TLS13};
use super::*;
use ::aws_lc_rs::digest::{SHA256, digest};
use pki_types::pem::PemObject as _;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

fn inbound(listen: SocketAddr, to: SocketAddr, more: &str) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{to}\", allow: [\"spiffe://here.test\"], {more} }}"
    )
}

/// What an application is to be told of this peer.
fn said_of(leaf: &Leaf) -> String {
    let der = CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap();
    let hash = digest(&SHA256, &der);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("By=spiffe://here.test/vm;Hash={hash};URI=spiffe://here.test/a")
}

/// A site with one HTTP route, a peer `/a`, and what it leads to.
struct Web {
    site: Site,
    listen: SocketAddr,
    leaf: Leaf,
}

impl Web {
    fn new(to: SocketAddr, more: &str) -> Self {
        let here = World::new(HERE);
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&inbound(listen, to, more));
        Self {
            site,
            listen,
            leaf: here.leaf("/a"),
        }
    }

    /// Waits until a line of the metrics has this value.
    async fn counts(&self, line: &str, wanted: u32) {
        let looked = tokio::time::timeout(PATIENCE, async {
            while self.site.metric(line) != Some(wanted.to_string()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let waited = looked.await;
        assert!(waited.is_ok(), "{line}: {:?}", self.site.metric(line));
    }

    /// A connection that agrees on this protocol.
    async fn connect(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let mut config = strangers::client(Some(&self.leaf), TLS13);
        config.alpn_protocols = vec![alpn.to_vec()];
        strangers::connect(self.listen, config).await.unwrap()
    }

    /// Sends bytes on a connection of their own, and reads what comes until the other side has no more.
    async fn send(&self, bytes: &str) -> String {
        let mut client = self.connect(b"http/1.1").await;
        client.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_end(&mut answer));
        read.await.expect("no end").unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// An application that keeps each request as it came, byte by byte, and says `ok`.
struct Witness {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Witness {
    async fn start() -> Self {
        let App { listener, address } = App::start().await;
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&shared);
                // Ends when the other side does, in whatever way.
                tokio::spawn(async move { witness(stream, &seen).await.ok() });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn witness(mut stream: TcpStream, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    loop {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push(char::from(stream.read_u8().await?));
        }
        let head = text.to_lowercase();
        if let Some((_, length)) = head.split_once("content-length: ") {
            let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
            stream.read_exact(&mut body).await?;
            text += &String::from_utf8(body).unwrap();
        } else if head.contains("transfer-encoding: chunked") {
            let body = text.len();
            while !(text[body..].starts_with("0\r\n") || text[body..].contains("\r\n0\r\n"))
                || !text.ends_with("\r\n\r\n")
            {
                text.push(char::from(stream.read_u8().await?));
            }
        }
        seen.lock().unwrap().push(text);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await?;
    }
}

/// The lines of a request's fields with this name.
fn fields<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let lines = request.split("\r\n");
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(one, _)| one.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}
