//! A server that lets in the workloads that a pattern names, and answers `hello SPIFFE-ID, generation N`, as a line or as HTTP.
//!
//! Its certificate is the newest in the directory at each handshake; it never restarts.
//!
//! ```sh
//! cargo run --example mtls_server -- --identity /run/mwid/identity --listen 127.0.0.1:8443 --allow 'spiffe://dev.internal/**'
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its user"
)]

use clap::Parser;
use mtls_identity::dir::{FollowOptions, follow};
use mtls_identity::tls::{Acceptor, TlsOptions};
use mtls_identity::{IdPattern, PeerPolicy, Prover, Reader};
use rustls::{crypto::aws_lc_rs, time_provider::DefaultTimeProvider};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Greets the workloads that it knows, over mutual TLS.
#[derive(Parser)]
struct Args {
    /// The directory with the identity: mwid's published one, or the guest agent's.
    #[arg(long)]
    identity: PathBuf,
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Who may connect, for example 'spiffe://prod.example/ns/shop/sa/*'; may be given more than once.
    #[arg(long, required = true, value_parser = IdPattern::parse)]
    allow: Vec<IdPattern>,
    /// Speak TLS 1.2 too.
    #[arg(long)]
    tls12: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock = Arc::new(DefaultTimeProvider);

    // The follower reads the directory now and after each change, as long as it is not dropped.
    let prover = Prover::new(Arc::clone(&provider));
    let (reader, follower) = follow(&args.identity, FollowOptions::new(prover, clock.clone()))?;
    if let Some(trouble) = follower.status().borrow().trouble() {
        eprintln!("no identity yet: {}", with_causes(trouble));
    }

    let policy = args
        .allow
        .into_iter()
        .fold(PeerPolicy::nobody(), PeerPolicy::allow);
    let options = TlsOptions::new(provider, clock).with_tls12(args.tls12);
    let acceptor = Acceptor::new(reader.clone(), &options, policy)?;
    tokio::spawn(tell_rotations(reader.clone()));

    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => drop(tokio::spawn(greet(
                tcp,
                address,
                acceptor.clone(),
                reader.clone(),
            ))),
            Err(error) => {
                // Most often there are too many open files; that passes.
                eprintln!("no connection accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn greet(tcp: TcpStream, address: SocketAddr, acceptor: Acceptor, reader: Reader) {
    // The stream is there only together with a peer that the policy allows.
    let (stream, peer) = match acceptor.accept(tcp).await {
        Ok(accepted) => accepted,
        Err(error) => return eprintln!("{address}: {}", with_causes(&error)),
    };
    let text = format!("hello {}, generation {}\n", peer.id(), reader.generation());
    match timeout(Duration::from_secs(10), answer(BufStream::new(stream), &text)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("{address} ({}): {error}", peer.id()),
        Err(_) => eprintln!("{address} ({}): no whole request within 10 s", peer.id()),
    }
}

/// A client that speaks HTTP is answered in HTTP, any other gets the line as it is.
async fn answer<S>(stream: BufStream<S>, text: &str) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    const LONGEST_REQUEST: u64 = 16 * 1024;
    let mut stream = stream.take(LONGEST_REQUEST);
    let mut line = vec![];
    stream.read_until(b'\n', &mut line).await?;
    let http = line.ends_with(b" HTTP/1.1\r\n") || line.ends_with(b" HTTP/1.0\r\n");
    while http && !matches!(&line[..], b"\r\n" | b"") {
        line.clear();
        stream.read_until(b'\n', &mut line).await?;
    }
    let mut stream = stream.into_inner();
    if http {
        let length = text.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn tell_rotations(mut reader: Reader) {
    while let Some(identity) = reader.changed().await {
        println!(
            "generation {}: {}, serial {}",
            identity.generation(),
            identity.id(),
            identity.serial()
        );
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
