//! Streams of updates: Workload API, 4.2 and 4.3.
use super::{Check, Document, Finding, Look, Outcome, each, fails, holds, must, should, skipped};
use crate::messages::fields;
use crate::messages::workload::{
    Empty, FETCH_JWT_BUNDLES, FETCH_X509_BUNDLES, FETCH_X509_SVID, X509SvidResponse,
};
use crate::seen::{Answer, Missing, Server};
use crate::wire::{Ask, Code, Event, Trouble, frame};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use prost::Message;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "stream.x509-at-once",
        Document::WorkloadApi,
        "4.3",
        "the first response of FetchX509SVID is sent without delay",
        Look::At(|s| at_once(s, &s.x509)),
    ),
    must(
        "stream.x509-bundles-at-once",
        Document::WorkloadApi,
        "4.3",
        "the first response of FetchX509Bundles is sent without delay",
        Look::At(|s| at_once(s, &s.x509_bundles)),
    ),
    must(
        "stream.jwt-bundles-at-once",
        Document::WorkloadApi,
        "4.3",
        "the first response of FetchJWTBundles is sent without delay",
        Look::At(|s| at_once(s, &s.jwt_bundles)),
    ),
    should(
        "stream.stays-open",
        Document::WorkloadApi,
        "4.2",
        "a stream stays open after its first response, for the updates",
        Look::Ask(|s| Box::pin(stays_open(s))),
    ),
    should(
        "stream.by-events",
        Document::WorkloadApi,
        "4.3",
        "responses are caused by events that change them: none comes again unchanged",
        Look::Ask(|s| Box::pin(by_events(s))),
    ),
    must(
        "stream.each-request",
        Document::WorkloadApi,
        "4.3",
        "each request brings a response: ten streams on one connection are all answered",
        Look::Ask(|s| Box::pin(each_request(s))),
    ),
    must(
        "stream.full-set",
        Document::WorkloadApi,
        "4.3",
        "a message has the full set: streams on other connections have the same identities and trust domains",
        Look::Ask(|s| Box::pin(full_set(s))),
    ),
    should(
        "stream.request-extensible",
        Document::WorkloadApi,
        "5.2.1",
        "a request may have fields of the future",
        Look::Ask(|s| Box::pin(request_extensible(s))),
    ),
    must(
        "stream.not-extended",
        Document::WorkloadApi,
        "2",
        "responses have no fields beyond the standard's",
        Look::At(not_extended),
    ),
];

fn at_once<M>(server: &Server, answer: &Answer<M>) -> Outcome {
    let prompt = server.options.times.prompt;
    match &answer.result {
        Ok(_) => holds(
            answer.after <= prompt,
            format!("after {:.0?}", answer.after),
            || format!("after {:.1?}", answer.after),
        ),
        Err(Missing::Ended(end))
            if [Code::UNIMPLEMENTED, Code::PERMISSION_DENIED, Code::UNAVAILABLE]
                .map(Some)
                .contains(&end.code) =>
        {
            skipped(format!("told {end}"))
        }
        Err(Missing::Ended(end)) => fails(format!("told {end}")),
        Err(Missing::Trouble(why)) => fails(why),
        Err(Missing::NotAsked) => skipped("not asked"),
    }
}

const STREAMS: [&str; 3] = [FETCH_X509_SVID, FETCH_X509_BUNDLES, FETCH_JWT_BUNDLES];

/// What comes on each of the streams that give a message at all, within the quiet time after it.
async fn after_the_first(server: &Server) -> Result<Vec<(&'static str, Bytes, Option<Event>)>, Finding> {
    let quiet = server.options.times.quiet;
    let listen = async |method| -> Result<Option<_>, Trouble> {
        let mut call = server.call(Ask::one(method, &Empty {})).await?;
        let Event::Message(first) = call.next().await? else {
            return Ok(None);
        };
        match call.next_within(quiet).await {
            Ok(event) => Ok(Some((method, first, Some(event)))),
            Err(Trouble::Slow(_)) => Ok(Some((method, first, None))),
            Err(trouble) => Err(trouble),
        }
    };
    let heard = try_join_all(STREAMS.map(listen)).await?;
    let heard: Vec<_> = heard.into_iter().flatten().collect();
    if heard.is_empty() {
        return skipped("no stream has a first message");
    }
    Ok(heard)
}

async fn stays_open(server: &Server) -> Outcome {
    let heard = after_the_first(server).await?;
    each(
        &heard,
        |(method, ..)| (*method).to_owned(),
        |(_, _, then)| match then {
            Some(Event::End(end)) => fails(format!("ended with {end}")),
            _ => Ok("open".to_owned()),
        },
    )
}

async fn by_events(server: &Server) -> Outcome {
    let heard = after_the_first(server).await?;
    each(
        &heard,
        |(method, ..)| (*method).to_owned(),
        |(_, first, then)| match then {
            Some(Event::Message(second)) if second == first => fails("the same message came again"),
            _ => Ok("silent".to_owned()),
        },
    )
}

async fn each_request(server: &Server) -> Outcome {
    server.x509.get()?;
    let channel = server.another().await?;
    let patience = server.options.times.patience;
    let one = async || {
        let mut call = channel
            .call(Ask::one(FETCH_X509_SVID, &Empty {}), patience)
            .await?;
        let event = call.next().await?;
        // All ten are open at the same time.
        Ok::<_, Trouble>((call, event))
    };
    let mut served = 0;
    let mut told = String::new();
    for result in join_all((0..10).map(|_| one())).await {
        match result {
            Ok((_, Event::Message(_))) => served += 1,
            Ok((_, Event::End(end))) => told = end.to_string(),
            Err(trouble) => told = trouble.to_string(),
        }
    }
    holds(served == 10, "ten of ten", || format!("{served} of ten ({told})"))
}

async fn full_set(server: &Server) -> Outcome {
    server.x509.get()?;
    let channel = server.another().await?;
    let patience = server.options.times.patience;
    let (mut seen, mut open) = (BTreeSet::new(), vec![]);
    for _ in 0..3 {
        let mut call = channel
            .call(Ask::one(FETCH_X509_SVID, &Empty {}), patience)
            .await?;
        let Event::Message(bytes) = call.next().await? else {
            return fails("the second stream has no message");
        };
        let message = X509SvidResponse::decode(bytes).map_err(Trouble::Message)?;
        let ids = message.svids.iter().map(|svid| svid.spiffe_id.clone());
        let domains = message.federated_bundles.keys().cloned();
        seen.insert(ids.chain(domains).collect::<BTreeSet<_>>());
        open.push(call);
    }
    holds(
        seen.len() == 1,
        format!("{} names in each", seen.iter().flatten().count()),
        || format!("different sets: {seen:?}"),
    )
}

async fn request_extensible(server: &Server) -> Outcome {
    server.x509.get()?;
    // Field 1000, a text.
    let future = [0xc2, 0x3e, 2, b'h', b'i'];
    let ask = Ask::open(FETCH_X509_SVID).bytes(frame::prefixed(0, &future));
    match server.first(ask).await? {
        Event::Message(_) => Ok("served".to_owned()),
        Event::End(end) => fails(format!("told {end}")),
    }
}

fn not_extended(server: &Server) -> Outcome {
    let messages: Vec<(&str, &Bytes, &[u32])> = [
        server
            .x509
            .bytes()
            .map(|bytes| ("X509SVIDResponse", bytes, &[1, 2, 3][..])),
        server
            .x509_bundles
            .bytes()
            .map(|bytes| ("X509BundlesResponse", bytes, &[1, 2][..])),
        server
            .jwt
            .bytes()
            .map(|bytes| ("JWTSVIDResponse", bytes, &[1][..])),
        server
            .jwt_bundles
            .bytes()
            .map(|bytes| ("JWTBundlesResponse", bytes, &[1][..])),
    ]
    .into_iter()
    .flatten()
    .collect();
    each(
        messages,
        |(name, ..)| (*name).to_owned(),
        |(_, bytes, known)| {
            let numbers = fields::numbers(bytes).map_err(Trouble::Message)?;
            match numbers.iter().find(|number| !known.contains(number)) {
                Some(number) => fails(format!("a field {number}")),
                None => Ok("no unknown field".to_owned()),
            }
        },
    )
}
