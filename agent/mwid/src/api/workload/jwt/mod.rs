//! The JWT profile (SPIFFE Workload API, section 6): JWT-SVIDs for the caller, and a verdict on those of others.
//!
//! In: a request of an attested caller. Out: a JWT-SVID of the identity in force for exactly the asked audiences; whom a token speaks of and what
//! it claims, if it holds. Never a token in a refusal, never a verdict by bundles that have expired.
mod claims;
mod limits;

use super::Site;
use super::edition::Edition;
use super::guest::Guest;
use super::hub::Now;
use super::method::Method;
use super::refusal;
use crate::caller::What;
use crate::grpc::{Code, Frame, Status};
use crate::jwt::svid;
use crate::proto::workload::{
    Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
};
use crate::source::{JwtSvids, Minter};
use mtls_identity::{SpiffeId, UnixTime};
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// What a JWT-SVID is made from now, if there may be one.
pub(super) fn ready(
    site: &Site,
    guest: &impl Guest,
    request: &JwtsvidRequest,
) -> Result<(Arc<Edition>, Arc<Minter>), Status> {
    limits::audiences(&request.audience)?;
    let wanted = match &*request.spiffe_id {
        "" => None,
        id => Some(
            SpiffeId::parse(id).map_err(|error| invalid(format!("invalid requested SPIFFE ID: {error}")))?,
        ),
    };
    let audience = request.audience.join(", ");
    let what = What::JwtSvid { audience: &audience };
    let edition = alive(site, guest, what)?;
    if wanted.is_some_and(|id| id != *edition.identity.id()) {
        let status = refusal::not_issued();
        guest.denied(what, &status.message);
        return Err(status);
    }
    let minter = minter(site, edition.identity.id())?;
    Ok((edition, minter))
}

/// `FetchJWTSVID` (section 6.2.1). There is one identity, so one JWT-SVID; with what it was made from.
pub(super) fn fetch(
    site: &Site,
    guest: &impl Guest,
    request: &JwtsvidRequest,
) -> Result<(Frame, Arc<Edition>), Status> {
    let (edition, minter) = ready(site, guest, request)?;
    let audience = request.audience.join(", ");
    let what = What::JwtSvid { audience: &audience };
    let minted = minter
        .mint(&request.audience, time(site)?)
        .map_err(|_| Status::new(Code::INTERNAL, "the JWT-SVID could not be signed"))?;
    guest.granted(what);
    site.metrics.sent(Method::FetchJwtSvid);
    let mut message = JwtsvidResponse {
        svids: vec![Jwtsvid {
            spiffe_id: minter.id().as_str().to_owned(),
            svid: (**minted.token).clone(),
            hint: String::new(),
        }],
    };
    let frame = Frame::secret(&message);
    for svid in &mut message.svids {
        svid.svid.zeroize();
    }
    Ok((frame, edition))
}

/// `ValidateJWTSVID` (section 6.2.3): by the bundles that the caller may have.
pub(super) fn validate(
    site: &Site,
    guest: &impl Guest,
    request: ValidateJwtsvidRequest,
) -> Result<Frame, Status> {
    let ValidateJwtsvidRequest { audience, svid } = request;
    let token = Zeroizing::new(svid);
    if audience.is_empty() {
        return Err(invalid("audience must be specified"));
    }
    if token.is_empty() {
        return Err(invalid("svid must be specified"));
    }
    let edition = alive(site, guest, What::Bundles)?;
    let verdict = svid::validate(&token, &audience, edition.identity.bundles(), time(site)?);
    let outcome = verdict.as_ref().map_or_else(svid::Refusal::reason, |_| "valid");
    site.metrics.validated(outcome);
    let valid = verdict.map_err(|refusal| invalid(refusal.to_string()))?;
    site.metrics.sent(Method::ValidateJwtSvid);
    Ok(Frame::of(&ValidateJwtsvidResponse {
        spiffe_id: valid.id.as_str().to_owned(),
        claims: Some(claims::message(valid.claims)),
    }))
}

/// What is in force, for a caller who may have it.
fn alive(site: &Site, guest: &impl Guest, what: What<'_>) -> Result<Arc<Edition>, Status> {
    if let Err(denied) = guest.may_have_identity() {
        let status = refusal::denied(&denied);
        guest.denied(what, &status.message);
        return Err(status);
    }
    match site.hub.now() {
        Now::Alive(edition) => Ok(edition),
        other => Err(refusal::no_identity(&other).unwrap_or_else(not_yet)),
    }
}

fn minter(site: &Site, id: &SpiffeId) -> Result<Arc<Minter>, Status> {
    match &*site.jwt_svids.borrow() {
        JwtSvids::Minter(minter) if minter.id() == id => Ok(Arc::clone(minter)),
        // The identity is of the source before, or was restored.
        JwtSvids::Minter(_) | JwtSvids::NotYet => Err(not_yet()),
        JwtSvids::None(source) => Err(Status::new(
            Code::UNIMPLEMENTED,
            format!(
                "identity.source {source} gives no JWT-SVIDs, only X.509-SVIDs: use mutual TLS, or for Google's APIs mwid's tokens"
            ),
        )),
    }
}

fn not_yet() -> Status {
    Status::new(
        Code::UNAVAILABLE,
        "the source has not delivered what signs JWT-SVIDs yet: ask again",
    )
}

fn time(site: &Site) -> Result<UnixTime, Status> {
    let now = site.clock.current_time();
    now.ok_or_else(|| Status::new(Code::UNAVAILABLE, "the clock does not say the time"))
}

fn invalid(why: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(Code::INVALID_ARGUMENT, why)
}
