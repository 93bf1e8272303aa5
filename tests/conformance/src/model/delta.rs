//! DeltaSecrets of the model.
use super::connection::Context;
use super::inbound::{Inbound, decode};
use super::reply::{Refusal, Reply};
use super::sds::{UNKNOWN_NAME, any, secret};
use super::world::World;
use crate::messages::sds::{DeltaRequest, DeltaResponse, Resource, SECRET_TYPE};
use std::collections::BTreeSet;

/// What is known of one stream.
#[derive(Default)]
struct Subscription {
    names: BTreeSet<String>,
    unsubscribed: bool,
    nonce: String,
    sent: u64,
    repeated: bool,
}

/// What a request is answered with.
#[derive(Default)]
struct Due {
    names: Vec<String>,
    removed: Vec<String>,
}

impl Subscription {
    fn heard(&mut self, world: &World, request: &DeltaRequest) -> Result<Due, Refusal> {
        let flaw = world.flaw;
        let stale = !request.response_nonce.is_empty() && request.response_nonce != self.nonce;
        if stale && flaw.is("delta.stale-nonce") {
            return Ok(Due::default());
        }
        for name in &request.unsubscribe {
            self.unsubscribed = true;
            if !self.names.remove(name) && flaw.is("delta.phantom-unsubscribe") {
                return Err(UNKNOWN_NAME);
            }
        }
        let mut due = Due::default();
        let first = self.names.is_empty();
        for (place, name) in request.subscribe.iter().enumerate() {
            let known = !self.names.insert(name.clone());
            let later = !first && !self.unsubscribed && request.response_nonce.is_empty();
            let exists = secret(world, name).is_some();
            let deaf = known && flaw.is("delta.again") || later && !known && exists && flaw.is("delta.added");
            if deaf {
                continue;
            }
            if exists && !(place > 0 && flaw.is("delta.supplied")) {
                due.names.push(name.clone());
            } else if !flaw.is("delta.removed") {
                due.removed.push(name.clone());
            }
        }
        let again = if request.error_detail.is_some() {
            flaw.is("delta.nack-silent")
        } else {
            flaw.is("delta.ack-silent")
        };
        let only_answers = request.subscribe.is_empty() && request.unsubscribe.is_empty();
        if only_answers && again && !std::mem::replace(&mut self.repeated, true) {
            due.names = self.names.iter().cloned().collect();
        }
        Ok(due)
    }

    fn response(&mut self, world: &World, due: Due) -> DeltaResponse {
        let flaw = world.flaw;
        self.sent += 1;
        self.nonce = if flaw.is("delta.nonce-unique") {
            format!("d{}", world.generation)
        } else {
            format!("d{}-{}", world.generation, self.sent)
        };
        let version = if flaw.is("rotation.delta-version") {
            0
        } else {
            world.generation
        };
        let resources = due
            .names
            .iter()
            .filter_map(|name| secret(world, name))
            .map(|mut secret| {
                let name = secret.name.clone();
                if flaw.is("delta.name") {
                    secret.name.push_str("-else");
                }
                Resource {
                    version: flaw.or("delta.version", format!("v{version}"), String::new()),
                    resource: Some(any(&secret)),
                    name,
                }
            })
            .collect();
        DeltaResponse {
            system_version: String::new(),
            resources,
            type_url: flaw.or("delta.type-url", SECRET_TYPE, "").to_owned(),
            nonce: flaw.or("delta.nonce", self.nonce.clone(), String::new()),
            removed: due.removed,
        }
    }
}

pub(super) async fn stream(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let mut updates = context.shared.world.subscribe();
    let mut subscription = Subscription::default();
    loop {
        let due = tokio::select! {
            request = inbound.next() => {
                let Some(bytes) = request? else { return Ok(()) };
                let request: DeltaRequest = decode(bytes)?;
                let world = context.shared.world.borrow().clone();
                subscription.heard(&world, &request)?
            }
            changed = updates.changed() => {
                if changed.is_err() { return Ok(()) }
                updates.borrow_and_update();
                if context.is("rotation.delta") { continue }
                Due { names: subscription.names.iter().cloned().collect(), ..Due::default() }
            }
        };
        if !due.names.is_empty() || !due.removed.is_empty() {
            let world = context.shared.world.borrow().clone();
            reply.message(&subscription.response(&world, due));
        }
    }
}
