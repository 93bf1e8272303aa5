//! A side that tries to resume gets a full handshake or a refusal, whatever changed in between, on TLS 1.3 and 1.2.

use super::{HERE, Outcome, Side, handshake, provider};
use crate::check::issuers::Issuers;
use crate::peer::PeerRole;
use crate::tls::resolver::StoreResolver;
use crate::tls::verifier::PeerVerifier;
use crate::tls::{TlsOptions, server_config};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use testkit::pki::{LeafSpec, Validity, World};

type Version = &'static SupportedProtocolVersion;
const VERSIONS: [Version; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// The same identity and the same verifier as ours, but rustls's defaults otherwise: it resumes when it can.
fn trying_client(side: &Side, version: Version) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_details(provider(), side.clock.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier(side, PeerRole::Server)))
        .with_client_cert_resolver(Arc::new(resolver(side)));
    config.resumption = Resumption::in_memory_sessions(16);
    Arc::new(config)
}

/// As [`trying_client`]: it hands out sessions in each way there is.
fn trying_server(side: &Side, version: Version) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_details(provider(), side.clock.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(verifier(side, PeerRole::Client)))
        .with_cert_resolver(Arc::new(resolver(side)));
    config.session_storage = ServerSessionMemoryCache::new(16);
    config.send_tls13_tickets = 2;
    config.ticketer = Ticketer::new().unwrap();
    Arc::new(config)
}

fn verifier(side: &Side, role: PeerRole) -> PeerVerifier {
    let algorithms = provider().signature_verification_algorithms;
    PeerVerifier {
        reader: side.reader.clone(),
        algorithms,
        issuers: Issuers::default(),
        role,
    }
}

fn resolver(side: &Side) -> StoreResolver {
    StoreResolver {
        reader: side.reader.clone(),
        clock: side.clock.clone(),
    }
}

/// What happens between two connections.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Nothing,
    /// Both sides get a new certificate.
    Rotate,
    /// The client's trust domain is removed at the server.
    RemoveClient,
    /// The server's trust domain is removed at the client.
    RemoveServer,
    /// The client's certificate ends, by the server's clock.
    ExpireClient,
    /// The server's certificate ends, by the client's clock.
    ExpireServer,
}

const ALL: [Then; 6] = [
    Then::Nothing,
    Then::Rotate,
    Then::RemoveClient,
    Then::RemoveServer,
    Then::ExpireClient,
    Then::ExpireServer,
];
const HOUR: i64 = 3600;

/// A server of one trust domain and a client of another.
struct Pair {
    here: World,
    there: World,
    server: Side,
    client: Side,
}

impl Pair {
    fn new(then: Then) -> Self {
        let (server, client) = (Side::empty().with_tls12(true), Side::empty().with_tls12(true));
        let mut pair = Self {
            here: World::new(HERE),
            there: World::new("there.test"),
            server,
            client,
        };
        pair.rotate(then);
        pair
    }

    fn rotate(&mut self, then: Then) {
        let both = [&self.here, &self.there];
        let life = |ends| Validity {
            from: -60,
            to: if ends { HOUR } else { 10 * HOUR },
        };
        let mut spec = LeafSpec::new("spiffe://here.test/server");
        spec.validity = life(then == Then::ExpireServer);
        self.server.adopt(&self.here.leaf_of(&spec), &both);
        let mut spec = LeafSpec::new("spiffe://there.test/client");
        spec.validity = life(then == Then::ExpireClient);
        self.client.adopt(&self.there.leaf_of(&spec), &both);
    }

    fn change(&mut self, then: Then) {
        match then {
            Then::Nothing => {}
            Then::Rotate => self.rotate(then),
            Then::RemoveClient => self.server.adopt(&self.here.leaf("/server"), &[&self.here]),
            Then::RemoveServer => self.client.adopt(&self.there.leaf("/client"), &[&self.there]),
            Then::ExpireClient => self.server.clock.forward(2 * HOUR),
            Then::ExpireServer => self.client.clock.forward(2 * HOUR),
        }
    }
}

/// Connects, changes something, connects again.
fn twice(version: Version, then: Then, client_tries: bool, server_tries: bool) -> Outcome {
    let mut pair = Pair::new(then);
    let client = if client_tries {
        trying_client(&pair.client, version)
    } else {
        pair.client.client()
    };
    let server = if server_tries {
        trying_server(&pair.server, version)
    } else {
        pair.server.server()
    };
    let mut first = handshake(&client, &server);
    first.works(); // also carries the tickets of TLS 1.3
    assert_eq!(first.server.protocol_version(), Some(version.version));
    assert_eq!(first.server.handshake_kind(), Some(HandshakeKind::Full));
    pair.change(then);
    handshake(&client, &server)
}

/// What is guarded against does happen: between two sides that resume, each of these changes goes unnoticed.
#[test]
fn with_the_defaults_of_rustls_no_change_is_noticed() {
    for version in VERSIONS {
        for then in ALL {
            let mut again = twice(version, then, true, true);
            again.works();
            assert_eq!(
                again.client.handshake_kind(),
                Some(HandshakeKind::Resumed),
                "{then:?} {version:?}"
            );
        }
    }
}

#[test]
fn our_server_never_resumes_with_a_client_that_tries() {
    nobody_resumes(true, false);
}

#[test]
fn our_client_never_resumes_with_a_server_that_tries() {
    nobody_resumes(false, true);
}

fn nobody_resumes(client_tries: bool, server_tries: bool) {
    for version in VERSIONS {
        for then in ALL {
            let mut again = twice(version, then, client_tries, server_tries);
            match then {
                Then::Nothing | Then::Rotate => {
                    again.works();
                    for kind in [again.client.handshake_kind(), again.server.handshake_kind()] {
                        assert_eq!(kind, Some(HandshakeKind::Full), "{then:?} {version:?}");
                    }
                }
                Then::RemoveClient => assert_eq!(again.server_refused().0, "unknown_trust_domain"),
                Then::RemoveServer => assert_eq!(again.client_refused().0, "unknown_trust_domain"),
                Then::ExpireClient => assert_eq!(again.server_refused().0, "expired"),
                Then::ExpireServer => assert_eq!(again.client_refused().0, "expired"),
            }
        }
    }
}

/// Whoever wants to know is told, in both versions, and of nobody else.
#[test]
fn who_asks_to_resume_is_told_of() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for version in VERSIONS {
        let pair = Pair::new(Then::Nothing);
        let asked = Arc::new(AtomicUsize::new(0));
        let options = TlsOptions::new(provider(), pair.server.clock.clone()).with_tls12(true);
        let count = Arc::clone(&asked);
        let options = options.on_asked_to_resume(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let ours = server_config(pair.server.reader.clone(), &options).unwrap();
        let client = trying_client(&pair.client, version);
        handshake(&client, &ours).works();
        handshake(&client, &ours).works();
        assert_eq!(asked.load(Ordering::Relaxed), 0, "it has no session: {version:?}");
        handshake(&client, &trying_server(&pair.server, version)).works();
        handshake(&client, &ours).works();
        assert!(asked.load(Ordering::Relaxed) > 0, "{version:?}");
    }
}
