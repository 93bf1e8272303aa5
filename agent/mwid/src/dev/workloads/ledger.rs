//! `ledger`: the server. Answers each line `order N` by `booked N`, over mTLS, to its own identity only.
//!
//! In: connections on a free port of 127.0.0.1. Out: the port. Never answers a peer that its policy does not name.

use super::{Workload, WorkloadError};
use crate::report::Causes;
use crate::shutdown::Shutdown;
use mtls_identity::tls::Acceptor;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// No order is longer.
const LONGEST_ORDER: u64 = 64;

pub(super) async fn start(ledger: Workload, shutdown: &Shutdown) -> Result<SocketAddr, WorkloadError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(WorkloadError::Listen)?;
    let address = listener.local_addr().map_err(WorkloadError::Listen)?;
    let acceptor = Acceptor::new(ledger.reader.clone(), &ledger.options, ledger.policy.clone())
        .map_err(WorkloadError::Tls)?;
    let tasks = shutdown.clone();
    shutdown.spawn(async move {
        let _follows_as_long_as_it_serves = ledger;
        loop {
            let accepted = tokio::select! {
                () = tasks.asked() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (acceptor, stop) = (acceptor.clone(), tasks.clone());
                    tasks.spawn(async move {
                        tokio::select! {
                            () = stop.asked() => {}
                            () = serve(&acceptor, stream) => {}
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "ledger cannot accept"),
            }
        }
    });
    Ok(address)
}

async fn serve(acceptor: &Acceptor, stream: TcpStream) {
    let (stream, _peer) = match acceptor.accept(stream).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(error = %Causes(&error), "ledger refused a connection");
            return;
        }
    };
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        let answer = match (&mut stream).take(LONGEST_ORDER).read_line(&mut line).await {
            Ok(0) => return,
            Ok(_) => match line.trim_end().strip_prefix("order ") {
                Some(number) => format!("booked {number}\n"),
                None => return,
            },
            Err(error) => {
                tracing::debug!(%error, "a connection to ledger ended");
                return;
            }
        };
        if let Err(error) = stream.get_mut().write_all(answer.as_bytes()).await {
            tracing::debug!(%error, "a connection to ledger ended");
            return;
        }
        if let Err(error) = stream.get_mut().flush().await {
            tracing::debug!(%error, "a connection to ledger ended");
            return;
        }
    }
}
