//! One entry of an `X509SVIDResponse`, read.
use crate::checks::Finding;
use crate::messages::workload::X509Svid;
use crate::reading::cert::{self, Facts};
use crate::reading::id::Parts;

/// A certificate and what is in it.
#[derive(Clone, Debug)]
pub struct Cert {
    /// As it came.
    pub der: Vec<u8>,
    /// What was read of it.
    pub facts: Facts,
}

/// Reads concatenated DER. `Err`: what is wrong with it.
pub fn certificates(bytes: &[u8]) -> Result<Vec<Cert>, String> {
    cert::split(bytes)?
        .into_iter()
        .map(|der| {
            Ok(Cert {
                der: der.to_vec(),
                facts: Facts::of(der)?,
            })
        })
        .collect()
}

/// One identity as it was served.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The message.
    pub message: X509Svid,
    chain: Result<Vec<Cert>, String>,
    bundle: Result<Vec<Cert>, String>,
}

impl Identity {
    /// Reads an entry.
    pub fn of(message: &X509Svid) -> Self {
        Self {
            chain: certificates(&message.x509_svid),
            bundle: certificates(&message.bundle),
            message: message.clone(),
        }
    }

    /// How it is called in a report.
    pub fn name(&self) -> String {
        match self.id() {
            "" => "an SVID without ID".to_owned(),
            id if id.len() > 100 => format!("{}…", id.get(..100).unwrap_or_default()),
            id => id.to_owned(),
        }
    }

    /// Its SPIFFE ID: the leaf's, or else the field.
    pub fn id(&self) -> &str {
        self.leaf()
            .ok()
            .and_then(Facts::id)
            .unwrap_or(&self.message.spiffe_id)
    }

    /// The name of its trust domain.
    pub fn trust_domain(&self) -> String {
        Parts::of(self.id()).trust_domain()
    }

    /// Its chain or what is wrong with it.
    pub fn chain_as_read(&self) -> Result<&[Cert], &str> {
        self.chain.as_deref().map_err(String::as_str)
    }

    /// Its bundle or what is wrong with it.
    pub fn bundle_as_read(&self) -> Result<&[Cert], &str> {
        self.bundle.as_deref().map_err(String::as_str)
    }

    /// Its chain, or a reason to skip what needs it.
    pub fn chain(&self) -> Result<&[Cert], Finding> {
        match self.chain_as_read() {
            Ok([]) => Err(Finding::Skipped("no chain was served".to_owned())),
            Ok(chain) => Ok(chain),
            Err(why) => Err(Finding::Skipped(format!("the chain cannot be read: {why}"))),
        }
    }

    /// Its leaf, or a reason to skip what needs it.
    pub fn leaf(&self) -> Result<&Facts, Finding> {
        let chain = self.chain()?;
        // Where the leaf does not stand first, that is another check's: the one certificate that is no CA is the leaf.
        let leaf = match chain {
            [first, ..] if !first.facts.is_ca => first,
            [first, rest @ ..] => rest.iter().find(|cert| !cert.facts.is_ca).unwrap_or(first),
            [] => return Err(Finding::Skipped("no chain was served".to_owned())),
        };
        Ok(&leaf.facts)
    }

    /// Its bundle, or a reason to skip what needs it.
    pub fn bundle(&self) -> Result<&[Cert], Finding> {
        match self.bundle_as_read() {
            Ok([]) => Err(Finding::Skipped("no bundle was served".to_owned())),
            Ok(bundle) => Ok(bundle),
            Err(why) => Err(Finding::Skipped(format!("the bundle cannot be read: {why}"))),
        }
    }

    /// The certificates that sign: all of the bundle, and all of the chain but the leaf.
    pub fn signing(&self) -> Result<Vec<&Cert>, Finding> {
        let intermediates = self.chain().map(|chain| chain.get(1..).unwrap_or_default());
        let roots = self.bundle();
        match (intermediates, roots) {
            (Err(why), Err(_)) => Err(why),
            (above, roots) => Ok(above
                .unwrap_or_default()
                .iter()
                .chain(roots.unwrap_or_default())
                .collect()),
        }
    }
}
