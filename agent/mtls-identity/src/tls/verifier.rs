//! Judges the peer's certificate in the handshake. In: what the peer sent, the store, the time that rustls took from the config's clock. Out:
//! verified, or a typed refusal. Never pools the roots of two trust domains, never looks at a DNS name, never decides who may.

use super::refusal::PeerRefusal;
use super::usable::usable_at;
use crate::bundle::TrustBundles;
use crate::certificate::{self, Validity};
use crate::check::chain::{self, Usage};
use crate::check::issuers::Issuers;
use crate::check::{Refusal, leaf};
use crate::peer::PeerRole;
use crate::store::Reader;
use crate::vouched::By;
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

/// Verifies peers of one role against the bundles in the store.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    pub(super) reader: Reader,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) issuers: Issuers,
    pub(super) role: PeerRole,
}

impl PeerVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), PeerRefusal> {
        // One snapshot for the whole judgement. Without a valid identity of our own nobody is trusted: a client that went on would
        // talk to a server without showing who it is.
        let own = usable_at(&self.reader, now).map_err(|source| PeerRefusal::OurIdentity { source })?;
        let by = By::new(self.role, self.algorithms.all);
        // A peer that connects again shows the same chain, and what it proves anew is that it has the key.
        if own.vouched.holds(by, leaf, intermediates, now) {
            return Ok(());
        }
        let holds = verify_peer(
            own.bundles(),
            leaf,
            intermediates,
            self.role,
            (&self.algorithms, &self.issuers),
            now,
        )?;
        own.vouched.add(by, leaf, intermediates, holds);
        Ok(())
    }
}

/// The one judgement of a peer's chain: the leaf's only SPIFFE ID picks the trust bundle, and only that bundle's roots count. Gives the time in which
/// all that it went by holds.
pub(super) fn verify_peer(
    bundles: &TrustBundles,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    role: PeerRole,
    (algorithms, issuers): (&WebPkiSupportedAlgorithms, &Issuers),
    now: UnixTime,
) -> Result<Validity, PeerRefusal> {
    let leaf =
        certificate::parse(end_entity).map_err(|source| Refusal::Certificate { position: 1, source })?;
    let id = leaf::spiffe_id(&leaf)?;
    let Some(roots) = bundles.get(id.trust_domain()) else {
        return Err(PeerRefusal::UnknownTrustDomain { id });
    };
    let usage = usage(role);
    let verified = chain::verify(algorithms, issuers, roots, end_entity, intermediates, now, usage)?;
    // Also of those that the path went without: a time that is too short only means that the chain is looked at again.
    let mut holds = Validity::of(&leaf).and(verified.root);
    for (position, der) in (2..).zip(intermediates) {
        let parsed = certificate::parse(der).map_err(|source| Refusal::Certificate { position, source })?;
        holds = holds.and(Validity::of(&parsed));
    }
    Ok(holds)
}

/// What a peer of this role uses its certificate as.
pub(super) fn usage(role: PeerRole) -> Usage {
    match role {
        PeerRole::Client => Usage::Client,
        PeerRole::Server => Usage::Server,
    }
}

impl ClientCertVerifier for PeerVerifier {
    // Always empty. The hints would be the roots of all trust domains; rustls wants them borrowed from self, which a bundle that can be
    // replaced at any moment cannot give, and a workload has one identity, so that there is nothing to choose by them.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    // The server name is ignored: an X.509-SVID names a workload by its URI SAN and need not have a DNS name. Whether this workload is the
    // one we want is decided from the ID after the handshake.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
