//! An axum server over mutual TLS: each request carries the verified peer as an extension, and handlers decide by its SPIFFE ID.
//!
//! ```sh
//! cargo run --example axum_server -- --identity /run/mwid/identity --listen 127.0.0.1:8443 --allow 'spiffe://dev.internal/**'
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its user"
)]

use axum::{Extension, Router, routing::get};
use clap::Parser;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mtls_identity::dir::{FollowOptions, follow};
use mtls_identity::tls::{Acceptor, TlsOptions};
use mtls_identity::{IdPattern, Peer, PeerPolicy, Prover};
use rustls::{crypto::aws_lc_rs, time_provider::DefaultTimeProvider};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Serves HTTP over mutual TLS.
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
}

async fn hello(Extension(peer): Extension<Peer>) -> String {
    format!("hello {}\n", peer.id())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock = Arc::new(DefaultTimeProvider);
    let prover = Prover::new(Arc::clone(&provider));
    let (reader, follower) = follow(&args.identity, FollowOptions::new(prover, clock.clone()))?;
    if let Some(trouble) = follower.status().borrow().trouble() {
        eprintln!("no identity yet: {}", with_causes(trouble));
    }
    let policy = args
        .allow
        .into_iter()
        .fold(PeerPolicy::nobody(), PeerPolicy::allow);
    let options = TlsOptions::new(provider, clock).with_alpn(["http/1.1"]);
    let acceptor = Acceptor::new(reader, &options, policy)?;

    let router = Router::new().route("/", get(hello));
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => drop(tokio::spawn(serve(
                tcp,
                address,
                acceptor.clone(),
                router.clone(),
            ))),
            Err(error) => {
                // Most often there are too many open files; that passes.
                eprintln!("no connection accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(tcp: TcpStream, address: SocketAddr, acceptor: Acceptor, router: Router) {
    // Each handshake has a task of its own, so that a slow client keeps nobody waiting.
    let (stream, peer) = match acceptor.accept(tcp).await {
        Ok(accepted) => accepted,
        Err(error) => return eprintln!("{address}: {}", with_causes(&error)),
    };
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        eprintln!("{address}: {}", with_causes(&error));
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
