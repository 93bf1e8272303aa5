//! What stands behind the names, so that an Envoy can use it: envoy/extensions/transport_sockets/tls/v3, and SPIRE's convention of names.
use super::sds::{names, told};
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::messages::sds::{Secret, SpiffeValidator, ValidatorDomain};
use crate::reading::cert::{self, Facts};
use crate::reading::id::{Parts, is_trust_domain};
use crate::reading::key;
use crate::seen::{Sds, Server};
use crate::wire::Trouble;
use prost::Message;

pub(super) const CHECKS: &[Check] = &[
    must(
        "secret.certificate",
        Document::Xds,
        "TlsCertificate",
        "the certificate's name is a chain and a key in PEM",
        Look::At(|s| pair(s).map(|(chain, _)| format!("{} certificates", chain.len()))),
    ),
    must(
        "secret.key-of-leaf",
        Document::Xds,
        "TlsCertificate",
        "the private key is that of the chain's leaf",
        Look::At(key_of_leaf),
    ),
    must(
        "secret.default-identity",
        Document::WorkloadApi,
        "8",
        "the default identity is the first of FetchX509SVID",
        Look::At(default_identity),
    ),
    must(
        "secret.roots",
        Document::Xds,
        "CertificateValidationContext",
        "the roots' name is a validation context with certificates in PEM",
        Look::At(|s| roots(s).map(|domains| format!("{} certificates", count(&domains)))),
    ),
    must(
        "secret.validator-names",
        Document::Xds,
        "SPIFFECertValidatorConfig",
        "a trust domain of the SPIFFE validator is named without `spiffe://`",
        Look::At(validator_names),
    ),
    must(
        "secret.path",
        Document::X509,
        "5.1",
        "the chain verifies to the roots",
        Look::At(path),
    ),
    should(
        "secret.by-id",
        Document::Xds,
        "What resources to return",
        "an identity is supplied by its SPIFFE ID",
        Look::Ask(|s| {
            Box::pin(async {
                names(s)?;
                let id = s.identity()?.id().to_owned();
                named(s, &id).await
            })
        }),
    ),
    should(
        "secret.by-domain",
        Document::Xds,
        "What resources to return",
        "the roots of a trust domain are supplied by its ID",
        Look::Ask(|s| {
            Box::pin(async {
                names(s)?;
                let id = format!("spiffe://{}", s.identity()?.trust_domain());
                named(s, &id).await
            })
        }),
    ),
    should(
        "secret.all",
        Document::Xds,
        "What resources to return",
        "the roots of all trust domains are supplied by one name",
        Look::Ask(|s| {
            Box::pin(async {
                let all = names(s)?.all.clone();
                if all.is_empty() {
                    return skipped("no name was given (--sds-all)");
                }
                named(s, &all).await
            })
        }),
    ),
    should(
        "secret.many-names",
        Document::Xds,
        "Multiple Resources on a Single Stream",
        "one request may name several things, also one thing twice by different names",
        Look::Ask(|s| Box::pin(many_names(s))),
    ),
];

fn secret<'a>(server: &'a Server, name: &str) -> Result<&'a Secret, Finding> {
    let secrets = server.secrets.as_ref().map_err(|why| told(why.clone()))?;
    secrets
        .by_name
        .get(name)
        .ok_or_else(|| Finding::Skipped(format!("{name} did not come")))
}

/// The default secret's chain and key, DER.
fn pair(server: &Server) -> Result<(Vec<Vec<u8>>, Vec<u8>), Finding> {
    let secret = secret(server, &names(server)?.default)?;
    let Some(certificate) = &secret.tls_certificate else {
        return fails("no tls_certificate");
    };
    let chain = certificate
        .certificate_chain
        .as_ref()
        .map(|source| cert::from_pem(&source.inline_bytes));
    let key = certificate
        .private_key
        .as_ref()
        .map(|source| key::from_pem(&source.inline_bytes));
    match (chain, key) {
        (Some(Ok(chain)), Some(Ok(key))) if !chain.is_empty() => Ok((chain, key)),
        (Some(Err(why)), _) | (_, Some(Err(why))) => fails(why),
        (None, _) | (Some(Ok(_)), Some(_)) => fails("no certificates"),
        (_, None) => fails("no key"),
    }
}

fn key_of_leaf(server: &Server) -> Outcome {
    let (chain, key) = pair(server).map_err(told)?;
    let leaf = Facts::of(&chain[0]).map_err(Finding::Skipped)?;
    key::matches(&key, &leaf.public_key)
        .map(|()| "the key is the leaf's".to_owned())
        .map_err(Finding::Fails)
}

fn default_identity(server: &Server) -> Outcome {
    let (chain, _) = pair(server).map_err(told)?;
    let leaf = Facts::of(&chain[0]).map_err(Finding::Skipped)?;
    let first = server.identity()?.leaf()?;
    holds(leaf.id() == first.id(), leaf.id().unwrap_or_default(), || {
        format!("{:?} in place of {:?}", leaf.id(), first.id())
    })
}

/// A trust domain and its certificates, DER. A plain list has no name.
type Roots = (String, Vec<Vec<u8>>);

fn roots(server: &Server) -> Result<Vec<Roots>, Finding> {
    let secret = secret(server, &names(server)?.root)?;
    let Some(context) = &secret.validation_context else {
        return fails("no validation_context");
    };
    let mut domains = vec![];
    if let Some(plain) = &context.trusted_ca {
        let list = cert::from_pem(&plain.inline_bytes).map_err(Finding::Fails)?;
        domains.push((String::new(), list));
    }
    for domain in validator(context.custom_validator.as_ref())? {
        let pem = domain.trust_bundle.unwrap_or_default().inline_bytes;
        domains.push((domain.name, cert::from_pem(&pem).map_err(Finding::Fails)?));
    }
    if count(&domains) == 0 {
        return fails("no certificates");
    }
    Ok(domains)
}

fn validator(config: Option<&crate::messages::sds::Extension>) -> Result<Vec<ValidatorDomain>, Finding> {
    let Some(any) = config.and_then(|extension| extension.config.as_ref()) else {
        return Ok(vec![]);
    };
    let config = SpiffeValidator::decode(any.value.as_slice()).map_err(Trouble::Message)?;
    Ok(config.trust_domains)
}

fn count(domains: &[Roots]) -> usize {
    domains.iter().map(|(_, list)| list.len()).sum()
}

fn validator_names(server: &Server) -> Outcome {
    let domains = roots(server).map_err(told)?;
    each(
        domains.iter().filter(|(name, _)| !name.is_empty()),
        |_| "a trust domain".to_owned(),
        |(name, _)| holds(!name.contains("://"), name, || name.clone()),
    )
}

fn path(server: &Server) -> Outcome {
    let (chain, _) = pair(server).map_err(told)?;
    let leaf = Facts::of(&chain[0]).map_err(Finding::Skipped)?;
    let domain = Parts::of(leaf.id().unwrap_or_default()).trust_domain();
    if !is_trust_domain(&format!("spiffe://{domain}")) {
        return skipped("the leaf's trust domain has no valid name");
    }
    let all = roots(server).map_err(told)?;
    let own: Vec<&[u8]> = all
        .iter()
        .filter(|(name, _)| name.is_empty() || Parts::of(name).trust_domain() == domain)
        .flat_map(|(_, list)| list.iter().map(Vec::as_slice))
        .collect();
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    cert::verify(&chain, &own, server.now)
        .map(|()| format!("{} certificates to {} roots", chain.len(), own.len()))
        .map_err(Finding::Fails)
}

async fn named(server: &Server, name: &str) -> Outcome {
    let mut stream = Sds::open(server, &[name]).await?;
    Ok(stream.until(&[name]).await?.names())
}

async fn many_names(server: &Server) -> Outcome {
    let own = names(server)?;
    let identity = server.identity()?;
    let domain = format!("spiffe://{}", identity.trust_domain());
    let all = [&own.default, identity.id(), &own.root, &domain];
    let mut stream = Sds::open(server, &all).await?;
    Ok(stream.until(&all).await?.names())
}
