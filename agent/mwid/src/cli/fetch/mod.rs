//! `mwid fetch` and `mwid validate`: the client side of any agent's Workload API. In: which API, and what to ask. Out: what it answered, proven
//! by the library before it is shown or written. Never prints a private key, and a token only as the answer itself.
mod agent;
mod bundles;
mod jwt;
mod prove;
mod validate;
mod write;
mod x509;

use super::{Exit, Failure, args};
use crate::app;
use mtls_identity::UnixTime;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

pub(super) fn run(args: &args::FetchArgs) -> Result<(), Failure> {
    closed()?;
    match &args.what {
        args::FetchKind::X509(args) => x509::run(args),
        args::FetchKind::Jwt(args) => jwt::run(args),
        args::FetchKind::Bundles(args) => bundles::run(args),
    }
}

pub(super) fn validate(args: &args::ValidateArgs) -> Result<(), Failure> {
    closed()?;
    match &args.what {
        args::ValidateKind::Jwt(args) => validate::jwt(args),
    }
}

/// Keys and tokens are secrets of this process too.
fn closed() -> Result<(), Failure> {
    app::close_process().map_err(|e| Failure::new(Exit::System, "nothing is asked for").because(e))
}

fn now() -> Result<UnixTime, Failure> {
    DefaultTimeProvider
        .current_time()
        .ok_or_else(|| Failure::new(Exit::System, "the clock of this machine is before 1970: set it"))
}
