//! Which issuers may sign certificates. In: a CA's certificate on a path that webpki has verified. Out: what its own text says of that. Remembers a few
//! that may: the same bytes say the same every time, and to read them is a hundredth of a handshake.
use crate::certificate;
use pki_types::CertificateDer;
use std::sync::{PoisonError, RwLock};
use webpki::{Error, VerifiedPath};

/// Issuers of all trust domains together that are remembered; a domain has one or two in use. Only those below a trusted root get here.
const MOST: usize = 16;

/// Issuers that may sign, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Issuers(RwLock<Vec<CertificateDer<'static>>>);

impl Issuers {
    /// X509-SVID section 3.2 for the issuers in use: webpki asks whether each is a CA, but not whether its key usage, where there
    /// is one, lets it sign certificates (RFC 5280 section 4.2.1.3). Another path may still do.
    pub(crate) fn all_may_sign(&self, path: &VerifiedPath<'_>) -> Result<(), Error> {
        for issuer in path.intermediate_certificates() {
            self.may_sign(issuer.der())?;
        }
        Ok(())
    }

    fn may_sign(&self, der: CertificateDer<'_>) -> Result<(), Error> {
        if self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&der)
        {
            return Ok(());
        }
        let parsed = certificate::parse(&der).map_err(|_| Error::BadDer)?;
        if !certificate::may_sign(&parsed).map_err(|_| Error::ExtensionValueInvalid)? {
            return Err(Error::EndEntityUsedAsCa);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() == MOST {
            known.remove(0);
        }
        known.push(der.into_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

    fn certificate(usage: KeyUsagePurpose) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![usage];
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    #[test]
    fn only_those_who_may_are_remembered_and_not_too_many() {
        let issuers = Issuers::default();
        let may_not = certificate(KeyUsagePurpose::CrlSign);
        for _ in 0..2 {
            assert_eq!(
                issuers.may_sign(may_not.clone()).unwrap_err(),
                Error::EndEntityUsedAsCa
            );
        }
        for _ in 0..MOST + 2 {
            let may = certificate(KeyUsagePurpose::KeyCertSign);
            for _ in 0..2 {
                issuers.may_sign(may.clone()).unwrap();
            }
            let known = issuers.0.read().unwrap();
            assert_eq!(known.iter().filter(|one| **one == may).count(), 1);
        }
        assert_eq!(issuers.0.read().unwrap().len(), MOST);
    }
}
