//! A client that talks only to the server that it expects, by its SPIFFE ID. It sends an HTTP request and prints the answer.
//!
//! ```sh
//! cargo run --example mtls_client -- --identity /run/mwid/identity --connect 127.0.0.1:8443 --expect 'spiffe://dev.internal/**'
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its user"
)]

use clap::Parser;
use mtls_identity::dir::{FollowOptions, follow};
use mtls_identity::tls::{Connector, TlsOptions};
use mtls_identity::{IdPattern, PeerPolicy, Prover};
use rustls::{crypto::aws_lc_rs, time_provider::DefaultTimeProvider};
use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONGEST_ANSWER: u64 = 1024 * 1024;

/// Asks a server over mutual TLS.
#[derive(Parser)]
struct Args {
    /// The directory with the identity: mwid's published one, or the guest agent's.
    #[arg(long)]
    identity: PathBuf,
    /// The server, HOST:PORT.
    #[arg(long)]
    connect: String,
    /// Who the server must be, for example 'spiffe://prod.example/ns/bank/sa/ledger'; may be given more than once.
    #[arg(long, required = true, value_parser = IdPattern::parse)]
    expect: Vec<IdPattern>,
    /// How often to ask, each time over a new connection.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many seconds to wait in between.
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// Speak TLS 1.2 too.
    #[arg(long)]
    tls12: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let every = Duration::try_from_secs_f64(args.every)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock = Arc::new(DefaultTimeProvider);

    // The follower reads the directory now and after each change, as long as it is not dropped.
    let prover = Prover::new(Arc::clone(&provider));
    let (reader, follower) = follow(&args.identity, FollowOptions::new(prover, clock.clone()))?;
    if let Some(trouble) = follower.status().borrow().trouble() {
        eprintln!("no identity yet: {}", with_causes(trouble));
    }

    let policy = args
        .expect
        .into_iter()
        .fold(PeerPolicy::nobody(), PeerPolicy::allow);
    let options = TlsOptions::new(provider, clock).with_tls12(args.tls12);
    let connector = Connector::new(reader, &options, policy)?;
    for number in 0..args.count {
        if number > 0 {
            tokio::time::sleep(every).await;
        }
        ask(&connector, &args.connect).await?;
    }
    Ok(())
}

async fn ask(connector: &Connector, address: &str) -> Result<(), Box<dyn Error>> {
    let tcp = TcpStream::connect(address).await?;
    // Without this, Nagle's algorithm holds the request back until the server acknowledges the handshake.
    tcp.set_nodelay(true)?;
    let (mut stream, peer) = connector.connect(tcp).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![];
    match stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await {
        Ok(_) => {}
        // Some servers close the connection without closing TLS first.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        // In TLS 1.3 the server judges our certificate after our handshake is done: its refusal arrives here.
        Err(error) => return Err(error.into()),
    }
    let answer = String::from_utf8_lossy(&answer);
    let body = answer
        .split_once("\r\n\r\n")
        .map_or(&*answer, |(_head, body)| body);
    print!("{} says: {body}", peer.id());
    Ok(())
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
