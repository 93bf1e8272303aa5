//! One question, one answer. In: a request. Out: the secrets that it asks for, made when the client takes them. Waits for nothing: without an
//! identity it says so, and who asks comes again.
use super::super::connection::Connection;
use super::super::guest::Guest;
use super::super::refusal;
use super::super::revoked::revoked;
use super::feed::{Refused, note, taken_back};
use super::kind::Session;
use super::metrics::Kind;
use super::secrets::Secrets;
use super::session::sotw::Sotw;
use super::session::{self, plain_wanted};
use crate::caller::What;
use crate::grpc::{Answer, Call, Code, Dated, Status};
use crate::proto::envoy::service::discovery::v3::DiscoveryRequest;
use std::sync::Arc;

pub(super) async fn one<G: Guest>(connection: &Arc<Connection<G>>, call: Call) -> Result<Answer, Status> {
    let request: DiscoveryRequest = Sotw::asked(call).one().await?;
    let revoked = revoked(connection);
    // Who gets nothing is told at once.
    find(connection, &request)?;
    let connection = Arc::clone(connection);
    let made = async move { make(&connection, &request) };
    Ok(Answer::once(made, Some(revoked)))
}

/// The answer, now that its client takes it.
pub(super) fn make<G: Guest>(
    connection: &Arc<Connection<G>>,
    request: &DiscoveryRequest,
) -> Result<Dated, Status> {
    let (answer, secrets) = find(connection, request)?;
    note(&connection.guest, &answer, &mut Refused::default());
    connection.site.sds.metrics.updated(Kind::Fetch);
    Ok(Dated {
        pieces: Sotw::message(&answer),
        over: Some(taken_back(connection, &answer, &secrets)),
    })
}

/// What there is now for a request, and what it is of.
fn find<G: Guest>(
    connection: &Connection<G>,
    request: &DiscoveryRequest,
) -> Result<(session::Answer, Arc<Secrets>), Status> {
    let Connection { site, guest, .. } = connection;
    let sds = &site.sds;
    let refuse = |status: Status| {
        guest.denied(What::Identity, &status.message);
        status
    };
    guest
        .may_have_identity()
        .map_err(|denied| refuse(refusal::denied(&denied)))?;
    let plain = request.node.as_ref().is_some_and(plain_wanted);
    let names = Arc::clone(&sds.names.borrow());
    let now = site.hub.now();
    let Some(secrets) = sds.secrets(&now, &names, plain)? else {
        return Err(refusal::no_identity(&now).unwrap_or_else(refusal::stopping));
    };
    let outcome = Sotw::default().request(request, Some(&secrets));
    let outcome =
        outcome.map_err(|refusal| refuse(Status::new(Code::INVALID_ARGUMENT, refusal.to_string())))?;
    let Some(mut answer) = outcome.answer else {
        return Err(refuse(Status::new(Code::INVALID_ARGUMENT, "no secret asked for")));
    };
    // Nobody waits for a name here, so that there is nothing is the answer.
    if let (true, Some((name, missing))) = (answer.found.is_empty(), answer.missing.first()) {
        note(guest, &answer, &mut Refused::default());
        return Err(Status::new(Code::NOT_FOUND, format!("{name}: {missing}")));
    }
    // Nobody acknowledges it.
    answer.nonce.clear();
    Ok((answer, secrets))
}
