//! Incremental xDS over DeltaSecrets: subscriptions that change.
use super::sds::{UNKNOWN, names, told};
use super::{Check, Document, Finding, Look, Outcome, holds, must};
use crate::seen::{Delta, Server};

pub(super) const CHECKS: &[Check] = &[
    must(
        "delta.added",
        Document::Xds,
        "Subscribing to Resources",
        "a name that is added later is supplied",
        Look::Ask(|s| Box::pin(added(s, ""))),
    ),
    must(
        "delta.again",
        Document::Xds,
        "Subscribing to Resources",
        "a name that the client has already is supplied again when it subscribes again",
        Look::Ask(|s| Box::pin(again(s))),
    ),
    must(
        "delta.phantom-unsubscribe",
        Document::Xds,
        "Unsubscribing from Resources",
        "names that were never subscribed to can be unsubscribed from",
        Look::Ask(|s| Box::pin(phantom(s))),
    ),
    must(
        "delta.removed",
        Document::Xds,
        "Resource Does Not Exist",
        "a name that does not exist comes as removed",
        Look::Ask(|s| Box::pin(removed(s))),
    ),
    must(
        "delta.stale-nonce",
        Document::Xds,
        "Incremental xDS",
        "a change of the subscription counts also with a stale nonce",
        Look::Ask(|s| Box::pin(added(s, "conformance-stale"))),
    ),
];

/// A stream that has the certificate.
async fn begun(server: &Server) -> Result<Delta, Finding> {
    let names = names(server)?;
    let mut stream = Delta::open(server, &[&names.default]).await?;
    stream.until(&[&names.default]).await.map_err(told)?;
    Ok(stream)
}

async fn supplied(stream: &mut Delta, name: &str) -> Outcome {
    let responses = stream.until(&[name]).await?;
    let came = responses
        .iter()
        .any(|r| r.resources.iter().any(|resource| resource.name == name));
    holds(came, name, || format!("{name:?} came as removed"))
}

async fn added(server: &Server, nonce: &str) -> Outcome {
    let root = names(server)?.root.clone();
    let mut stream = begun(server).await?;
    let mut request = Delta::subscribe(&[&root]);
    nonce.clone_into(&mut request.response_nonce);
    stream.send(&request);
    supplied(&mut stream, &root).await
}

async fn again(server: &Server) -> Outcome {
    let name = names(server)?.default.clone();
    let mut stream = begun(server).await?;
    stream.send(&Delta::subscribe(&[&name]));
    supplied(&mut stream, &name).await
}

async fn phantom(server: &Server) -> Outcome {
    let root = names(server)?.root.clone();
    let mut stream = begun(server).await?;
    stream.send(&Delta::unsubscribe(&[UNKNOWN]));
    stream.send(&Delta::subscribe(&[&root]));
    supplied(&mut stream, &root).await
}

async fn removed(server: &Server) -> Outcome {
    let mut stream = begun(server).await?;
    stream.send(&Delta::subscribe(&[UNKNOWN]));
    let responses = stream.until(&[UNKNOWN]).await?;
    let removed = |r: &crate::messages::sds::DeltaResponse| r.removed.iter().any(|name| name == UNKNOWN);
    holds(responses.iter().any(removed), UNKNOWN, || {
        "it came as a resource".to_owned()
    })
}
