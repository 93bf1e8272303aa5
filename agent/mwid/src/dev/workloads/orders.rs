//! `orders`: the client. Sends a request over a new mTLS connection every few milliseconds, and holds one connection all the time.
//!
//! In: the ledger's address. Out: a tally. Never tries a failed request again: a failure is what the demo is there to show.

use super::{Seen, Tally, Workload, WorkloadError};
use crate::report::Causes;
use crate::shutdown::Shutdown;
use mtls_identity::Peer;
use mtls_identity::tls::{ConnectionError, Connector};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_rustls::client::TlsStream;

const BETWEEN_REQUESTS: Duration = Duration::from_millis(20);
const BETWEEN_EXCHANGES: Duration = Duration::from_millis(50);
/// No answer is longer.
const LONGEST_ANSWER: u64 = 64;

type Connection = BufReader<TlsStream<TcpStream>>;

/// What can go wrong with one request.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("cannot connect")]
    Tcp(#[source] io::Error),
    #[error("no mTLS connection")]
    Tls(#[source] ConnectionError),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("order {number} was answered by {answer:?}")]
    Wrong { number: u64, answer: String },
}

pub(super) async fn run(
    orders: Workload,
    ledger: SocketAddr,
    seen: mpsc::UnboundedSender<Seen>,
    shutdown: Shutdown,
) -> Result<Tally, WorkloadError> {
    let connector = Connector::new(orders.reader.clone(), &orders.options, orders.policy.clone())
        .map_err(WorkloadError::Tls)?;
    let exchanges = Cell::new(0);
    let mut requests = Requests {
        connector: connector.clone(),
        ledger,
        began: Instant::now(),
        tally: Tally::default(),
        exchanges: &exchanges,
        seen,
    };
    let (held, ()) = tokio::join!(hold(&connector, ledger, &exchanges, &shutdown), async {
        let mut ticks = ticks(BETWEEN_REQUESTS);
        while next(&mut ticks, &shutdown).await {
            requests.one().await;
        }
    });
    let mut tally = requests.tally;
    tally.ran = requests.began.elapsed();
    tally.exchanges = exchanges.get();
    if let Err(error) = held {
        tally.held_failed += 1;
        tally.note_failure(format!("held connection: {}", Causes(&error)));
    }
    Ok(tally)
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; false when it is time to stop. What is under way is always finished first.
async fn next(ticks: &mut Interval, shutdown: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = shutdown.asked() => false,
        _ = ticks.tick() => true,
    }
}

/// Holds one connection from beginning to end and exchanges lines over it; a broken one is not opened again.
async fn hold(
    connector: &Connector,
    ledger: SocketAddr,
    exchanges: &Cell<u64>,
    shutdown: &Shutdown,
) -> Result<(), RequestError> {
    let (mut connection, _) = connect(connector, ledger).await?;
    let mut ticks = ticks(BETWEEN_EXCHANGES);
    while next(&mut ticks, shutdown).await {
        ask(&mut connection, exchanges.get() + 1).await?;
        exchanges.set(exchanges.get() + 1);
    }
    Ok(())
}

/// Requests, each over a connection of its own.
struct Requests<'a> {
    connector: Connector,
    ledger: SocketAddr,
    began: Instant,
    tally: Tally,
    exchanges: &'a Cell<u64>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Requests<'_> {
    async fn one(&mut self) {
        self.tally.requests += 1;
        let number = self.tally.requests;
        let done = async {
            let (mut connection, peer) = connect(&self.connector, self.ledger).await?;
            ask(&mut connection, number).await?;
            Ok::<_, RequestError>((connection, peer))
        }
        .await;
        match done {
            Ok((connection, peer)) => self.note_connection(&connection, &peer),
            Err(error) => {
                self.tally.failed += 1;
                self.tally
                    .note_failure(format!("request {number}: {}", Causes(&error)));
            }
        }
    }

    fn note_connection(&mut self, connection: &Connection, peer: &Peer) {
        let tls = connection.get_ref().get_ref().1;
        let version = tls
            .protocol_version()
            .map_or_else(|| "?".to_owned(), |v| format!("{v:?}"));
        let group = tls
            .negotiated_key_exchange_group()
            .map_or_else(|| "?".to_owned(), |g| format!("{:?}", g.name()));
        self.tally.protocols.insert(format!("{version}, {group}"));
        if tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
            self.tally.resumed += 1;
        }
        self.tally.peer = Some(peer.id().as_str().to_owned());
        if self.tally.serials.insert(peer.serial().to_owned()) {
            let news = Seen {
                count: self.tally.serials.len(),
                serial: peer.serial().to_owned(),
                after: self.began.elapsed(),
                requests: self.tally.requests,
                failed: self.tally.failed,
                exchanges: self.exchanges.get(),
            };
            // Nobody listens any more when the demo ends; the tally has it all.
            drop(self.seen.send(news));
        }
    }
}

async fn connect(connector: &Connector, ledger: SocketAddr) -> Result<(Connection, Peer), RequestError> {
    let stream = TcpStream::connect(ledger).await.map_err(RequestError::Tcp)?;
    let (stream, peer) = connector.connect(stream).await.map_err(RequestError::Tls)?;
    Ok((BufReader::new(stream), peer))
}

async fn ask(connection: &mut Connection, number: u64) -> Result<(), RequestError> {
    let stream = connection.get_mut();
    stream
        .write_all(format!("order {number}\n").as_bytes())
        .await
        .map_err(RequestError::Broken)?;
    stream.flush().await.map_err(RequestError::Broken)?;
    let mut answer = String::new();
    connection
        .take(LONGEST_ANSWER)
        .read_line(&mut answer)
        .await
        .map_err(RequestError::Broken)?;
    if answer == format!("booked {number}\n") {
        Ok(())
    } else {
        Err(RequestError::Wrong { number, answer })
    }
}
