//! Incremental xDS over DeltaSecrets: its responses.
use super::sds::names;
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::messages::sds::{DeltaResponse, Resource, SECRET_TYPE, Secret};
use crate::seen::{Delta, Server};
use crate::wire::Trouble;
use prost::Message;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "delta.supplied",
        Document::Xds,
        "DeltaDiscoveryRequest",
        "all resources that are subscribed to and exist are supplied",
        Look::Ask(|s| Box::pin(async { subscribed(s).await.map(|all| format!("{} responses", all.len())) })),
    ),
    must(
        "delta.type-url",
        Document::Xds,
        "DeltaDiscoveryResponse.type_url",
        "a response says the type of its resources",
        Look::Ask(|s| {
            Box::pin(responses(s, |r| {
                holds(r.type_url == SECRET_TYPE, "Secret", || {
                    format!("{:?}", r.type_url)
                })
            }))
        }),
    ),
    must(
        "delta.nonce",
        Document::Xds,
        "DeltaDiscoveryResponse.nonce",
        "a response has a nonce: it is required",
        Look::Ask(|s| {
            Box::pin(responses(s, |r| {
                holds(!r.nonce.is_empty(), &r.nonce, || "none".to_owned())
            }))
        }),
    ),
    must(
        "delta.nonce-unique",
        Document::Xds,
        "DeltaDiscoveryResponse.nonce",
        "a nonce tells which response of the stream a request is about",
        Look::Ask(|s| Box::pin(nonce_unique(s))),
    ),
    must(
        "delta.version",
        Document::Xds,
        "Resource.version",
        "each resource has a version of its own",
        Look::Ask(|s| {
            Box::pin(resources(s, |r| {
                holds(!r.version.is_empty(), &r.version, || "none".to_owned())
            }))
        }),
    ),
    must(
        "delta.name",
        Document::Xds,
        "Incremental xDS, Resource names",
        "a resource is named in its envelope as it is inside",
        Look::Ask(|s| Box::pin(resources(s, name))),
    ),
    should(
        "delta.ack-silent",
        Document::Xds,
        "When to send an update",
        "an ACK is not answered: nothing has changed",
        Look::Ask(|s| Box::pin(silent(s, false))),
    ),
    should(
        "delta.nack-silent",
        Document::Xds,
        "When to send an update",
        "a NACK is not answered with what was refused",
        Look::Ask(|s| Box::pin(silent(s, true))),
    ),
];

async fn subscribed(server: &Server) -> Result<Vec<DeltaResponse>, Finding> {
    let names = names(server)?;
    let both = [names.default.as_str(), names.root.as_str()];
    let mut stream = Delta::open(server, &both).await?;
    let responses = stream.until(&both).await?;
    let removed: Vec<_> = responses.iter().flat_map(|r| &r.removed).collect();
    if removed.is_empty() {
        Ok(responses)
    } else {
        fails(format!(
            "{removed:?} do not exist here, but over StreamSecrets they do"
        ))
    }
}

async fn responses(server: &Server, look: impl Fn(&DeltaResponse) -> Outcome) -> Outcome {
    let all = subscribed(server).await.map_err(super::sds::told)?;
    each(&all, |_| "a response".to_owned(), |r| look(r))
}

async fn resources(server: &Server, look: impl Fn(&Resource) -> Outcome) -> Outcome {
    responses(server, |r| each(&r.resources, |r| r.name.clone(), |r| look(r))).await
}

fn name(resource: &Resource) -> Outcome {
    let value = resource.resource.clone().unwrap_or_default().value;
    let secret = Secret::decode(value.as_slice()).map_err(Trouble::Message)?;
    holds(secret.name == resource.name, &secret.name, || {
        format!("{:?} in an envelope of {:?}", secret.name, resource.name)
    })
}

async fn nonce_unique(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Delta::open(server, &[&names.default]).await?;
    let mut all = stream.until(&[&names.default]).await.map_err(super::sds::told)?;
    stream.send(&Delta::subscribe(&[&names.root]));
    all.push(stream.next().await.map_err(super::sds::told)?);
    if all.iter().any(|response| response.nonce.is_empty()) {
        return skipped("there are no nonces");
    }
    let nonces: BTreeSet<&str> = all.iter().map(|r| r.nonce.as_str()).collect();
    holds(nonces.len() == all.len(), format!("{nonces:?}"), || {
        format!("{} responses with the nonces {nonces:?}", all.len())
    })
}

async fn silent(server: &Server, nack: bool) -> Outcome {
    let names = names(server)?;
    let mut stream = Delta::open(server, &[&names.default]).await?;
    let response = stream.next().await.map_err(super::sds::told)?;
    stream.answer(&response, nack);
    match stream.silence(server.options.times.quiet, &[response]).await? {
        Some(why) => fails(why),
        None => Ok("silence".to_owned()),
    }
}
