//! The answers that only look. In: [`Inputs`]. Out: texts and JSON.
use super::Inputs;
use super::identity::IdentityDetail;
use super::ready::{Readiness, is_over};
use crate::health::status::timestamp;
use crate::health::status::{IdentityStatus, Status};
use crate::http::reply::{self, Reply};
use crate::telemetry::metrics::{self, Dialect};
use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap};
use jiff::Timestamp;

pub(super) fn readyz(inputs: &Inputs, headers: &HeaderMap) -> Reply {
    let readiness = Readiness::now(inputs);
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if wants_json(headers) {
        reply::json(status, &readiness)
    } else {
        reply::text(status, readiness.text())
    }
}

pub(super) fn metrics(inputs: &Inputs, headers: &HeaderMap) -> Reply {
    inputs.metrics.ready.set(i64::from(Readiness::now(inputs).ready));
    let dialect = Dialect::wanted(accept(headers));
    match metrics::text(&inputs.registry, dialect) {
        Ok(text) => reply::typed(StatusCode::OK, dialect.content_type(), text),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot write the metrics"
            );
            reply::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics could not be written, see the log\n",
            )
        }
    }
}

pub(super) fn status(inputs: &Inputs) -> Status {
    let readiness = Readiness::now(inputs);
    let identity = inputs.identity.current().map(|identity| IdentityStatus {
        spiffe_id: identity.id().as_str().to_owned(),
        generation: identity.generation(),
        serial: identity.serial().to_owned(),
        not_before: timestamp(identity.not_before()),
        not_after: timestamp(identity.not_after()),
        expired: is_over(identity.not_after(), inputs),
        trust_domains: identity
            .bundles()
            .iter()
            .map(|b| b.trust_domain().as_str().to_owned())
            .collect(),
    });
    let parts = inputs.board.conditions();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: inputs.started_at,
        now: inputs.clock.current_time().map_or(Timestamp::MAX, timestamp),
        ready: readiness.ready,
        parts: parts
            .into_iter()
            .map(|(name, condition)| (name.to_owned(), condition))
            .collect(),
        identity,
        source: inputs.source.borrow().clone(),
        publish: inputs.publish.borrow().clone(),
        tokens: inputs.tokens.status(),
        callers: inputs.access.status(),
        routes: (inputs.routes.0)(),
        workload: inputs.workload.status(),
        last_errors: inputs.errors.lines(),
    }
}

/// `null` before the first identity.
pub(super) fn identity(inputs: &Inputs) -> Reply {
    let detail = inputs
        .identity
        .current()
        .map(|identity| IdentityDetail::of(&identity));
    reply::json(StatusCode::OK, &detail)
}

pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    accept(headers).contains("application/json")
}

fn accept(headers: &HeaderMap) -> &str {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
