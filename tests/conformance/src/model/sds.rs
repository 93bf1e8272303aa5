//! SDS of the model: the secrets by name, StreamSecrets and FetchSecrets.
use super::connection::Context;
use super::inbound::{Inbound, decode};
use super::reply::{Refusal, Reply};
use super::world::{Identity, World, pems};
use crate::messages::sds::{
    DataSource, DiscoveryRequest, DiscoveryResponse, Extension, SECRET_TYPE, Secret, SpiffeValidator,
    TlsCertificate, ValidationContext, ValidatorDomain,
};
use crate::wire::Code;
use prost::Message;
use prost_types::Any;
use std::collections::BTreeSet;

pub(super) const UNKNOWN_NAME: Refusal = Refusal(Code::INVALID_ARGUMENT, "an unknown name");

fn source(bytes: Vec<u8>) -> Option<DataSource> {
    Some(DataSource { inline_bytes: bytes })
}

fn certificate(world: &World, identity: &Identity) -> TlsCertificate {
    let [leaf, above] = world.chain(identity);
    let key = if world.flaw.is("secret.key-of-leaf") {
        &world.identities.iter().rfind(|other| other.id != identity.id)
    } else {
        &Some(identity)
    };
    let key = key.map(|identity| identity.leaf.key_pem.clone().into_bytes());
    TlsCertificate {
        certificate_chain: source(pems(&[&leaf, &above])),
        private_key: if world.flaw.is("secret.certificate") {
            None
        } else {
            key.and_then(source)
        },
    }
}

fn roots(world: &World, all: bool) -> ValidationContext {
    let authorities = &world.authorities;
    let own = world
        .flaw
        .or("secret.path", &authorities.root, &authorities.stranger);
    let prefix = world.flaw.or("secret.validator-names", "", "spiffe://");
    let mut domains = vec![(super::pki::DOMAIN, own)];
    if all {
        domains.push((super::pki::FOREIGN, &authorities.foreign));
    }
    let config = SpiffeValidator {
        trust_domains: domains
            .into_iter()
            .map(|(name, root)| ValidatorDomain {
                name: format!("{prefix}{name}"),
                trust_bundle: source(pems(&[&root.der])),
            })
            .collect(),
    };
    ValidationContext {
        trusted_ca: None,
        custom_validator: Some(Extension {
            name: "envoy.tls.cert_validator.spiffe".to_owned(),
            config: Some(Any {
                type_url:
                    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
                        .to_owned(),
                value: config.encode_to_vec(),
            }),
        }),
    }
}

/// The secret of a name, if there is one.
pub(super) fn secret(world: &World, name: &str) -> Option<Secret> {
    let flaw = world.flaw;
    let mut secret = Secret {
        name: name.to_owned(),
        ..Secret::default()
    };
    let [first, last] = &world.identities;
    let by_id = world.identities.iter().find(|identity| identity.id == name);
    match (name, by_id) {
        ("default", _) => {
            let identity = flaw.or("secret.default-identity", first, last);
            secret.tls_certificate = Some(certificate(world, identity));
        }
        ("ROOTCA", _) if flaw.is("secret.roots") => {}
        ("ROOTCA", _) => secret.validation_context = Some(roots(world, false)),
        ("ALL", _) if !flaw.is("secret.all") => secret.validation_context = Some(roots(world, true)),
        (_, Some(identity)) if !flaw.is("secret.by-id") => {
            secret.tls_certificate = Some(certificate(world, identity));
        }
        (name, None) if world.is_domain(name) && !flaw.is("secret.by-domain") => {
            secret.validation_context = Some(roots(world, false));
        }
        _ => return None,
    }
    Some(secret)
}

/// As it goes on the wire.
pub(super) fn any(secret: &Secret) -> Any {
    Any {
        type_url: SECRET_TYPE.to_owned(),
        value: secret.encode_to_vec(),
    }
}

/// Every name there is.
fn every_name(world: &World) -> Vec<String> {
    let ids = world.identities.iter().map(|identity| identity.id.clone());
    ["default", "ROOTCA", "ALL"]
        .map(str::to_owned)
        .into_iter()
        .chain(ids)
        .collect()
}

fn response(world: &World, names: &[String], nonce: String) -> DiscoveryResponse {
    let flaw = world.flaw;
    let mut resources: Vec<Any> = names
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|name| secret(world, name))
        .map(|secret| any(&secret))
        .collect();
    if flaw.is("sds.no-duplicates") {
        resources.extend(resources.first().cloned());
    }
    if flaw.is("sds.resource-type") {
        for any in &mut resources {
            "type.googleapis.com/model.Secret".clone_into(&mut any.type_url);
        }
    }
    let version = if flaw.is("rotation.sds-version") {
        0
    } else {
        world.generation
    };
    DiscoveryResponse {
        version_info: flaw.or("sds.version", format!("v{version}"), String::new()),
        resources,
        type_url: flaw.or("sds.type-url", SECRET_TYPE, "").to_owned(),
        nonce: flaw.or("sds.nonce", nonce, String::new()),
    }
}

/// What is known of one stream.
#[derive(Default)]
struct Subscription {
    names: Vec<String>,
    /// Every name that was ever asked for.
    ever: BTreeSet<String>,
    wildcard: bool,
    begun: bool,
    nonce: String,
    sent: u64,
    repeated: bool,
}

impl Subscription {
    /// What a request is answered with; `None`: with nothing.
    fn heard(&mut self, world: &World, request: &DiscoveryRequest) -> Result<Option<Vec<String>>, Refusal> {
        let flaw = world.flaw;
        let stale = !request.response_nonce.is_empty() && request.response_nonce != self.nonce;
        if stale && !flaw.is("sds.stale-nonce") {
            return Ok(None);
        }
        let names = request.resource_names.clone();
        refuse_unknown(world, &names)?;
        if !self.begun {
            self.begun = true;
            self.wildcard = names.is_empty();
            self.remember(&names);
            let all = if self.wildcard && !flaw.is("sds.wildcard") {
                every_name(world)
            } else {
                names
            };
            return Ok(Some(all));
        }
        let added: Vec<String> = names
            .iter()
            .filter(|name| !self.names.contains(name))
            .filter(|name| {
                let check = if self.ever.contains(*name) {
                    "sds.names-again"
                } else {
                    "sds.new-names"
                };
                !flaw.is(check)
            })
            .cloned()
            .collect();
        let emptied = names.is_empty() && !self.names.is_empty();
        self.remember(&names);
        if emptied {
            return Ok(flaw.is("sds.no-names").then(|| every_name(world)));
        }
        if !added.is_empty() {
            return Ok(Some(added));
        }
        let again = if request.error_detail.is_some() {
            flaw.is("sds.nack-silent")
        } else {
            flaw.is("sds.ack-silent")
        };
        if again && !std::mem::replace(&mut self.repeated, true) {
            return Ok(Some(self.names.clone()));
        }
        Ok(None)
    }

    fn remember(&mut self, names: &[String]) {
        self.names = names.to_vec();
        self.ever.extend(names.iter().cloned());
    }

    fn subscribed(&self, world: &World) -> Vec<String> {
        if self.wildcard && self.names.is_empty() {
            every_name(world)
        } else {
            self.names.clone()
        }
    }

    fn next_nonce(&mut self, world: &World) -> String {
        self.sent += 1;
        let first = world.flaw.is("rotation.sds-nonce") && !self.nonce.is_empty() && world.generation > 0;
        if first {
            return self.nonce.clone();
        }
        self.nonce = if world.flaw.is("sds.nonce-unique") {
            format!("n{}", world.generation)
        } else if world.flaw.is("sds.nonce") {
            String::new()
        } else {
            format!("n{}-{}", world.generation, self.sent)
        };
        self.nonce.clone()
    }
}

/// What a server does that knows only whole requests.
fn refuse_unknown(world: &World, names: &[String]) -> Result<(), Refusal> {
    let flaw = world.flaw;
    let unknown = names.iter().any(|name| secret(world, name).is_none());
    let known = names.iter().any(|name| secret(world, name).is_some());
    let has = |name: &str| names.iter().any(|n| n == name);
    let twice = has("default") && has(&world.identities[0].id);
    let by_mistake = if unknown {
        flaw.is(if known {
            "sds.unknown-beside-known"
        } else {
            "sds.unknown-remembered"
        })
    } else {
        false
    };
    if by_mistake
        || has("default") && has("ROOTCA") && names.len() == 2 && flaw.is("sds.supplied")
        || twice && flaw.is("secret.many-names")
        || known && has(&world.identities[0].id) && flaw.is("secret.by-id")
    {
        return Err(UNKNOWN_NAME);
    }
    Ok(())
}

pub(super) async fn stream(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let mut updates = context.shared.world.subscribe();
    let mut subscription = Subscription::default();
    loop {
        tokio::select! {
            request = inbound.next() => {
                let Some(bytes) = request? else { return Ok(()) };
                let request: DiscoveryRequest = decode(bytes)?;
                let world = context.shared.world.borrow().clone();
                if let Some(names) = subscription.heard(&world, &request)? {
                    // State of the world: the silence after a name that does not exist is the answer.
                    let exists = names.iter().any(|name| secret(&world, name).is_some());
                    if exists || context.is("sds.wildcard") {
                        let nonce = subscription.next_nonce(&world);
                        reply.message(&response(&world, &names, nonce));
                    }
                }
            }
            changed = updates.changed() => {
                if changed.is_err() { return Ok(()) }
                let world = updates.borrow_and_update().clone();
                let names = subscription.subscribed(&world);
                if !names.is_empty() && !context.is("rotation.sds") {
                    let nonce = subscription.next_nonce(&world);
                    reply.message(&response(&world, &names, nonce));
                }
            }
        }
    }
}

pub(super) async fn fetch(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let request: DiscoveryRequest = inbound.decoded().await?;
    let world = context.shared.world.borrow().clone();
    let mut names = request.resource_names;
    if context.is("sds.fetch") {
        names.truncate(1);
    }
    reply.message(&response(&world, &names, String::new()));
    Ok(())
}
