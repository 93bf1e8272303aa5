//! State of the world over StreamSecrets and FetchSecrets: Envoy's xDS protocol.
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::messages::sds::{DiscoveryRequest, DiscoveryResponse, FETCH_SECRETS, SECRET_TYPE, Secret};
use crate::options::SdsNames;
use crate::seen::{Sds, Secrets, Server};
use crate::wire::{Ask, Code, Event, Trouble};
use prost::Message;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "sds.type-url",
        Document::Xds,
        "DiscoveryResponse.type_url",
        "a response says the type of its resources",
        Look::At(|s| {
            responses(s, |r| {
                holds(r.type_url == SECRET_TYPE, "Secret", || {
                    format!("{:?}", r.type_url)
                })
            })
        }),
    ),
    must(
        "sds.resource-type",
        Document::Xds,
        "DiscoveryResponse.type_url",
        "a resource has the type that its response says",
        Look::At(|s| {
            responses(s, |r| {
                match r.resources.iter().find(|any| any.type_url != SECRET_TYPE) {
                    Some(any) => fails(format!("{:?}", any.type_url)),
                    None => Ok("Secret".to_owned()),
                }
            })
        }),
    ),
    must(
        "sds.nonce",
        Document::Xds,
        "Basic Protocol Overview",
        "every response has a nonce",
        Look::At(|s| responses(s, |r| holds(!r.nonce.is_empty(), &r.nonce, || "none".to_owned()))),
    ),
    must(
        "sds.nonce-unique",
        Document::Xds,
        "Basic Protocol Overview",
        "a nonce tells which response of the stream a request is about",
        Look::Ask(|s| Box::pin(nonce_unique(s))),
    ),
    must(
        "sds.version",
        Document::Xds,
        "ACK/NACK and versions",
        "a response has the version of its resources",
        Look::At(|s| {
            responses(s, |r| {
                holds(!r.version_info.is_empty(), &r.version_info, || "none".to_owned())
            })
        }),
    ),
    must(
        "sds.supplied",
        Document::Xds,
        "What resources to return",
        "resources that are asked for and exist are supplied",
        Look::At(|s| Ok(s.secrets.as_ref().map_err(Clone::clone)?.names())),
    ),
    must(
        "sds.no-duplicates",
        Document::Xds,
        "Duplicate Resource Names",
        "a response does not have one name twice",
        Look::At(|s| responses(s, no_duplicates)),
    ),
    should(
        "sds.ack-silent",
        Document::Xds,
        "When to send an update",
        "an ACK is not answered: nothing has changed",
        Look::Ask(|s| Box::pin(silent(s, false))),
    ),
    should(
        "sds.nack-silent",
        Document::Xds,
        "When to send an update",
        "a NACK is not answered with what was refused",
        Look::Ask(|s| Box::pin(silent(s, true))),
    ),
    should(
        "sds.stale-nonce",
        Document::Xds,
        "Resource updates",
        "a request with a stale nonce is not answered",
        Look::Ask(|s| Box::pin(stale(s))),
    ),
    must(
        "sds.new-names",
        Document::Xds,
        "What resources to return",
        "names that a later request adds are supplied",
        Look::Ask(|s| Box::pin(new_names(s))),
    ),
    must(
        "sds.names-again",
        Document::Xds,
        "What resources to return",
        "a name that was given up and is asked for again is supplied again",
        Look::Ask(|s| Box::pin(names_again(s))),
    ),
    should(
        "sds.no-names",
        Document::Xds,
        "What resources to return",
        "when the list of names becomes empty, nothing is sent",
        Look::Ask(|s| Box::pin(no_names(s))),
    ),
    should(
        "sds.wildcard",
        Document::Xds,
        "What resources to return",
        "a stream that never named anything is subscribed to all there is",
        Look::Ask(|s| Box::pin(wildcard(s))),
    ),
    must(
        "sds.unknown-beside-known",
        Document::Xds,
        "What resources to return",
        "what exists is supplied also when it is asked for beside what does not",
        Look::Ask(|s| Box::pin(unknown_beside_known(s))),
    ),
    must(
        "sds.unknown-remembered",
        Document::Xds,
        "Resource Does Not Exist",
        "a name that does not exist yet is remembered: the stream stays open",
        Look::Ask(|s| Box::pin(unknown_remembered(s))),
    ),
    must(
        "sds.fetch",
        Document::Xds,
        "What resources to return",
        "FetchSecrets supplies what is asked for and exists",
        Look::Ask(|s| Box::pin(fetch(s))),
    ),
];

pub(super) const UNKNOWN: &str = "conformance-no-such-name";

fn responses(server: &Server, look: impl Fn(&DiscoveryResponse) -> Outcome) -> Outcome {
    let secrets = server.secrets.as_ref().map_err(|why| told(why.clone()))?;
    each(&secrets.responses, |_| "a response".to_owned(), |r| look(r))
}

/// That nothing came at all is `sds.supplied`'s to tell.
pub(super) fn told(why: Finding) -> Finding {
    match why {
        Finding::Fails(why) | Finding::Skipped(why) => Finding::Skipped(why),
    }
}

/// The names, for checks that need a stream that works.
pub(super) fn names(server: &Server) -> Result<&SdsNames, Finding> {
    server.secrets.as_ref().map_err(|why| told(why.clone()))?;
    server
        .options
        .sds
        .as_ref()
        .ok_or_else(|| Finding::Skipped("SDS is not looked at (--sds)".to_owned()))
}

async fn nonce_unique(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[&names.default]).await?;
    let mut all = stream.until(&[&names.default]).await?.responses;
    stream.change(&[&names.default, &names.root]);
    all.push(stream.next().await.map_err(told)?);
    if all.iter().any(|response| response.nonce.is_empty()) {
        return skipped("there are no nonces");
    }
    let nonces: BTreeSet<&str> = all.iter().map(|r| r.nonce.as_str()).collect();
    holds(nonces.len() == all.len(), format!("{nonces:?}"), || {
        format!("{} responses with the nonces {nonces:?}", all.len())
    })
}

fn no_duplicates(response: &DiscoveryResponse) -> Outcome {
    let mut seen = BTreeSet::new();
    for any in &response.resources {
        let secret = Secret::decode(any.value.as_slice()).map_err(Trouble::Message)?;
        if !seen.insert(secret.name.clone()) {
            return fails(format!("{:?} twice", secret.name));
        }
    }
    Ok(format!("{seen:?}"))
}

async fn silent(server: &Server, nack: bool) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[&names.default]).await?;
    let response = stream.next().await?;
    let mut known = Secrets::default();
    known.add(response.clone());
    if nack {
        stream.nack(&response);
    } else {
        stream.ack(&response);
    }
    match stream.silence(server.options.times.quiet, &known).await? {
        Some(why) => fails(why),
        None => Ok("silence".to_owned()),
    }
}

async fn stale(server: &Server) -> Outcome {
    let names = names(server)?;
    let id = server.identity()?.id().to_owned();
    let mut stream = Sds::open(server, &[&names.default]).await?;
    let first = stream.next().await?;
    stream.ack(&first);
    stream.change(&[&names.default, &names.root]);
    let second = stream.next().await.map_err(told)?;
    stream.ack(&second);
    if first.nonce == second.nonce {
        return skipped("the nonces do not differ");
    }
    let mut late = stream.request();
    late.response_nonce = first.nonce;
    late.resource_names.push(id.clone());
    stream.send(&late);
    let quiet = server.options.times.quiet;
    match crate::wire::within(quiet, stream.until(&[&id])).await {
        Err(_) => Ok("silence".to_owned()),
        Ok(Ok(_)) => fails("answered"),
        Ok(Err(why)) => Err(why),
    }
}

async fn new_names(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[&names.default]).await?;
    stream.until(&[&names.default]).await?;
    stream.change(&[&names.default, &names.root]);
    Ok(stream.until(&[&names.root]).await?.names())
}

async fn names_again(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[&names.default, &names.root]).await?;
    stream.until(&[&names.default, &names.root]).await?;
    stream.change(&[&names.default]);
    stream.change(&[&names.default, &names.root]);
    Ok(stream.until(&[&names.root]).await?.names())
}

async fn no_names(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[&names.default]).await?;
    let known = stream.until(&[&names.default]).await?;
    stream.change(&[]);
    let quiet = server.options.times.quiet;
    match crate::wire::within(quiet, stream.next()).await {
        Err(_) => Ok("silence".to_owned()),
        Ok(Ok(response)) if response.resources.is_empty() => Ok("an empty response".to_owned()),
        Ok(Ok(response)) => fails(format!(
            "{} resources came, after {}",
            response.resources.len(),
            known.names()
        )),
        Ok(Err(why)) => Err(why),
    }
}

async fn wildcard(server: &Server) -> Outcome {
    names(server)?;
    let mut stream = Sds::open(server, &[]).await?;
    let response = stream.next().await?;
    let count = response.resources.len();
    holds(count > 0, format!("{count} resources"), || {
        "an empty response".to_owned()
    })
}

async fn unknown_beside_known(server: &Server) -> Outcome {
    let names = names(server)?;
    let mut stream = Sds::open(server, &[UNKNOWN, &names.default]).await?;
    Ok(stream.until(&[&names.default]).await?.names())
}

async fn unknown_remembered(server: &Server) -> Outcome {
    names(server)?;
    let mut stream = Sds::open(server, &[UNKNOWN]).await?;
    let quiet = server.options.times.quiet;
    match crate::wire::within(quiet, stream.next()).await {
        Err(_) => Ok("the stream waits".to_owned()),
        Ok(Ok(response)) => holds(response.resources.is_empty(), "an empty response", || {
            "a resource came for a name that does not exist".to_owned()
        }),
        Ok(Err(why)) => Err(why),
    }
}

async fn fetch(server: &Server) -> Outcome {
    let names = names(server)?;
    let request = DiscoveryRequest {
        node: Some(crate::seen::node()),
        resource_names: vec![names.default.clone(), names.root.clone()],
        type_url: SECRET_TYPE.to_owned(),
        ..DiscoveryRequest::default()
    };
    let bytes = match server.first(Ask::one(FETCH_SECRETS, &request)).await? {
        Event::End(end) if end.code == Some(Code::UNIMPLEMENTED) => {
            return skipped("FetchSecrets is not implemented here");
        }
        Event::End(end) => return fails(format!("told {end}")),
        Event::Message(bytes) => bytes,
    };
    let response = DiscoveryResponse::decode(bytes).map_err(Trouble::Message)?;
    let mut came = Secrets::default();
    came.add(response);
    let all = [&names.default, &names.root]
        .iter()
        .all(|name| came.by_name.contains_key(*name));
    holds(all, came.names(), || format!("only {}", came.names()))
}
