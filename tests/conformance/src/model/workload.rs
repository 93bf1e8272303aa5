//! The Workload API of the model.
use super::connection::Context;
use super::inbound::{Inbound, decode};
use super::reply::{Refusal, Reply};
use super::validator;
use super::world::World;
use crate::messages::workload::{
    Empty, FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_BUNDLES, FETCH_X509_SVID, JwtSvidRequest,
};
use crate::wire::Code;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// What somebody without an identity is told.
fn entitled(context: &Context, method: &str) -> Result<(), Refusal> {
    let check = match method {
        FETCH_X509_SVID => "denied.x509-svid",
        FETCH_X509_BUNDLES => "denied.x509-bundles",
        FETCH_JWT_SVID => "denied.jwt-svid",
        FETCH_JWT_BUNDLES => "denied.jwt-bundles",
        _ => "",
    };
    match (context.denied, context.is(check)) {
        (false, _) => Ok(()),
        (true, false) => Err(Refusal(Code::PERMISSION_DENIED, "no identity issued")),
        (true, true) => Err(Refusal(Code::UNAVAILABLE, "no identity issued")),
    }
}

/// What a stream of messages does wrong.
#[derive(Clone, Copy, Default)]
struct Manner {
    late: bool,
    ends: bool,
    repeats: bool,
    deaf: bool,
}

/// Sends what the world says now, and again when it says something else.
async fn updates(context: &Context, reply: &mut Reply, manner: Manner, say: impl Fn(&World) -> Vec<u8>) {
    let mut world = context.shared.world.subscribe();
    if manner.late {
        tokio::time::sleep(context.shared.slow).await;
    }
    let now = |world: &mut tokio::sync::watch::Receiver<Arc<World>>| world.borrow_and_update().clone();
    let mut said = say(&now(&mut world));
    if !reply.bytes(&said) || manner.ends {
        return;
    }
    if manner.repeats {
        tokio::time::sleep(Duration::from_millis(20)).await;
        reply.bytes(&said);
    }
    loop {
        tokio::select! {
            changed = world.changed() => if changed.is_err() { return },
            () = reply.cancelled() => return,
        }
        let new = say(&now(&mut world));
        if new != said && !manner.deaf {
            said = new;
            if !reply.bytes(&said) {
                return;
            }
        }
    }
}

pub(super) async fn x509_svid(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let request = inbound.one().await?;
    Empty::decode(request.clone()).map_err(|_| Refusal(Code::INTERNAL, "the message cannot be decoded"))?;
    if context.is("stream.request-extensible") && !request.is_empty() {
        return Err(Refusal(Code::INVALID_ARGUMENT, "an unknown field"));
    }
    entitled(context, FETCH_X509_SVID)?;
    if context.is("stream.each-request") && context.apart() && context.place > 5 {
        return Err(Refusal(Code::UNAVAILABLE, "too many streams"));
    }
    let alone = context.apart() && context.place == 1;
    if context.is("framing.cancel") && context.apart() && context.place == 2 {
        // Whether the first was cancelled shows only now.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let partial = context.is("stream.full-set") && context.apart() && context.place == 2;
    let manner = Manner {
        late: context.is("stream.x509-at-once"),
        deaf: context.is("rotation.x509") || context.is("rotation.every-stream") && alone,
        ..Manner::default()
    };
    let extended = context.is("stream.not-extended");
    updates(context, reply, manner, |world| {
        let mut message = world.x509();
        if partial {
            message.svids.truncate(1);
        }
        let mut bytes = message.encode_to_vec();
        if extended {
            // Field 15, a text.
            bytes.extend([0x7a, 2, b'h', b'i']);
        }
        bytes
    })
    .await;
    if context.is("framing.cancel") && alone {
        // The check's own connection has one more such call, and nothing else. One that all checks share has more soon after its second, however slow
        // the machine.
        for _ in 0..100 {
            if context.connection.calls() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if context.apart() && context.connection.calls() == 2 {
            context.connection.close.notify_one();
        }
    }
    Ok(())
}

pub(super) async fn x509_bundles(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    inbound.decoded::<Empty>().await?;
    entitled(context, FETCH_X509_BUNDLES)?;
    let manner = Manner {
        late: context.is("stream.x509-bundles-at-once"),
        ends: context.is("stream.stays-open"),
        repeats: context.is("stream.by-events"),
        ..Manner::default()
    };
    updates(context, reply, manner, |world| world.bundles().encode_to_vec()).await;
    Ok(())
}

pub(super) async fn jwt_bundles(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    inbound.decoded::<Empty>().await?;
    entitled(context, FETCH_JWT_BUNDLES)?;
    let manner = Manner {
        late: context.is("stream.jwt-bundles-at-once"),
        ..Manner::default()
    };
    updates(context, reply, manner, |world| {
        world.jwt_bundles().encode_to_vec()
    })
    .await;
    Ok(())
}

pub(super) async fn jwt_svid(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let request = match decode::<JwtSvidRequest>(inbound.one().await?) {
        Err(_) if context.is("framing.garbage") => JwtSvidRequest {
            audience: vec!["anybody".to_owned()],
            ..JwtSvidRequest::default()
        },
        decoded => decoded?,
    };
    entitled(context, FETCH_JWT_SVID)?;
    if request.audience.is_empty() && !context.is("jwt.audience-required") {
        return Err(Refusal(Code::INVALID_ARGUMENT, "audience must be specified"));
    }
    let world = context.shared.world.borrow().clone();
    match world.jwt(&request.audience, &request.spiffe_id) {
        Some(response) => {
            reply.message(&response);
            Ok(())
        }
        None => Err(Refusal(Code::PERMISSION_DENIED, "no identity issued")),
    }
}

pub(super) async fn validate(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let request = inbound.decoded().await?;
    let world = context.shared.world.borrow().clone();
    reply.message(&validator::validate(&world, &request)?);
    Ok(())
}
