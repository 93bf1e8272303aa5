//! Shows our certificate in handshakes. In: the store and a clock. Out: the newest leaf, chain and signing key, or none.
//! Never keeps one from an earlier handshake, never shows an expired one.

use super::usable::usable;
use crate::Clock;
use crate::store::Reader;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Resolves to the store's current identity, on either side.
#[derive(Debug)]
pub(super) struct StoreResolver {
    pub(super) reader: Reader,
    pub(super) clock: Clock,
}

impl StoreResolver {
    fn current(&self) -> Option<Arc<CertifiedKey>> {
        usable(&self.reader, &self.clock)
            .ok()
            .map(|identity| Arc::clone(identity.certified_key()))
    }
}

impl ResolvesServerCert for StoreResolver {
    // What the client asked for by name does not matter: there is one identity, and SPIFFE has no server names.
    // None makes rustls end the handshake with the alert access_denied.
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for StoreResolver {
    // The server's hints are ignored: a SPIFFE server may rightly send none, and there is only one identity to choose.
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }

    // True also while there is no identity: the verifier of the same config then fails the handshake closed.
    fn has_certs(&self) -> bool {
        true
    }
}
