//! `mwid identity`. In: the daemon's `/identity`. Out: what the certificates in force say, in words or as JSON. Never the key.
pub(super) mod render;
#[cfg(test)]
mod tests;

use super::words::Paint;
use super::{Exit, Failure, admin, args, daemon, output};
use crate::api::admin::identity::IdentityDetail;
use crate::telemetry::logging::wall_clock;
use hyper::Method;

pub(super) fn run(args: &args::IdentityArgs) -> Result<(), Failure> {
    let socket = daemon::admin_socket(&args.at)?;
    let answered = admin::talk(admin::question(
        &socket,
        Method::GET,
        "/identity",
        "application/json",
    ))?;
    let Some(detail) = admin::read::<Option<IdentityDetail>>(&answered)? else {
        let message = "the daemon has no identity yet; `mwid status` says why";
        return Err(Failure::new(Exit::Unavailable, message));
    };
    if args.json {
        return output::data(&String::from_utf8_lossy(&answered.body));
    }
    output::data(&render::text(&detail, wall_clock()(), Paint(output::colour())))
}
