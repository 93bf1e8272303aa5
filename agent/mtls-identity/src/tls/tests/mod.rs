//! What the tests of `tls` stand on: sides with a store and a clock of their own, strangers that show any certificate, and handshakes in
//! memory, so that both sides' errors can be read.

mod closed;
mod federation;
mod mutual;
mod redecide;
mod refusals;
mod remembered;
mod resumption;
mod rotation;
mod strangers;
#[cfg(feature = "tokio")]
mod stream;

use super::{TlsOptions, client_config, server_config};
use crate::bundle::{TrustBundle, TrustBundles};
use crate::candidate::{Candidate, CandidateBundles};
use crate::check::Prover;
use crate::spiffe_id::TrustDomain;
use crate::store::{Reader, Writer, store};
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use testkit::pki::{Leaf, World};
use zeroize::Zeroizing;

/// The trust domain of most tests.
pub(super) const HERE: &str = "here.test";

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Real time, moved by as many seconds as a test wants.
#[derive(Debug, Default)]
pub(super) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(super) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> UnixTime {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test certificates are valid around the real now"
        )]
        let now = UnixTime::now().as_secs();
        UnixTime::since_unix_epoch(Duration::from_secs(
            now.saturating_add_signed(self.0.load(Ordering::SeqCst)),
        ))
    }
}

impl TimeProvider for MovedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

pub(super) fn bundle(world: &World) -> TrustBundle {
    let root = CertificateDer::from(world.root_der().to_vec());
    TrustBundle::from_roots(TrustDomain::parse(&world.root.trust_domain).unwrap(), vec![root]).unwrap()
}

pub(super) fn bundles(worlds: &[&World]) -> TrustBundles {
    let mut bundles = TrustBundles::default();
    for world in worlds {
        bundles.insert(bundle(world)).unwrap();
    }
    bundles
}

/// One side of a handshake: a store, a clock and options.
pub(super) struct Side {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) clock: Arc<MovedClock>,
    pub(super) options: TlsOptions,
}

impl Side {
    /// Without an identity.
    pub(super) fn empty() -> Self {
        let (writer, reader) = store();
        let clock = Arc::new(MovedClock::default());
        let options = TlsOptions::new(provider(), clock.clone());
        Self {
            writer,
            reader,
            clock,
            options,
        }
    }

    /// With `/name` of `world`, trusting `worlds`.
    pub(super) fn new(world: &World, name: &str, worlds: &[&World]) -> Self {
        let mut side = Self::empty();
        side.adopt(&world.leaf(name), worlds);
        side
    }

    /// Proves and publishes a leaf.
    pub(super) fn adopt(&mut self, leaf: &Leaf, worlds: &[&World]) {
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
            private_key_pem: Zeroizing::new(leaf.key_pem.clone().into_bytes()),
            bundles: CandidateBundles::Parsed(bundles(worlds)),
        };
        let proven = Prover::new(provider())
            .prove(&candidate, self.clock.now())
            .unwrap();
        self.writer.publish(proven);
    }

    pub(super) fn with_tls12(mut self, tls12: bool) -> Self {
        self.options = self.options.with_tls12(tls12);
        self
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        server_config(self.reader.clone(), &self.options).unwrap()
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        client_config(self.reader.clone(), &self.options).unwrap()
    }
}

/// What became of a handshake on both sides. An error of one side is what the caller of rustls gets there.
pub(super) struct Outcome {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
    pub(super) client_error: Option<rustls::Error>,
    pub(super) server_error: Option<rustls::Error>,
}

impl Outcome {
    /// Both sides are content, and bytes go both ways.
    pub(super) fn works(&mut self) {
        assert_eq!((&self.client_error, &self.server_error), (&None, &None));
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        self.exchange();
    }

    /// Sends a byte string each way over the connection.
    pub(super) fn exchange(&mut self) {
        let mut got = [0; 4];
        self.client.writer().write_all(b"ping").unwrap();
        self.pump();
        self.server.reader().read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
        self.server.writer().write_all(b"pong").unwrap();
        self.pump();
        self.client.reader().read_exact(&mut got).unwrap();
        assert_eq!(&got, b"pong");
    }

    /// Carries bytes until neither side has any left; a side that failed still gets to send its alert.
    fn pump(&mut self) {
        loop {
            let mut moved = carry(&mut self.client, &mut self.server, &mut self.server_error);
            moved |= carry(&mut self.server, &mut self.client, &mut self.client_error);
            if !moved {
                return;
            }
        }
    }
}

fn carry<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
    error: &mut Option<rustls::Error>,
) -> bool
where
    A: rustls::SideData,
    B: rustls::SideData,
{
    let mut bytes = vec![];
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let moved = !bytes.is_empty();
    let mut rest = &bytes[..];
    while !rest.is_empty() && error.is_none() {
        to.read_tls(&mut rest).unwrap();
        *error = to.process_new_packets().err();
    }
    moved
}

/// Tries a handshake.
pub(super) fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Outcome {
    let name = ServerName::try_from("not-in-any-certificate.test").unwrap();
    let mut outcome = Outcome {
        client: ClientConnection::new(Arc::clone(client), name).unwrap(),
        server: ServerConnection::new(Arc::clone(server)).unwrap(),
        client_error: None,
        server_error: None,
    };
    outcome.pump();
    outcome
}
