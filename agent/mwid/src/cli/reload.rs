//! `mwid reload`. In: nothing but which daemon. Out: what changed; or why nothing did, with an exit code that tells a wrong
//! configuration (78) from a busy daemon (75).
use super::{Exit, Failure, admin, args, daemon, output};
use crate::http::client::Answered;
use hyper::{Method, StatusCode};

pub(super) fn run(args: &args::ReloadArgs) -> Result<(), Failure> {
    let socket = daemon::admin_socket(&args.at)?;
    let answered = admin::talk(admin::question(&socket, Method::POST, "/reload", "text/plain"))?;
    output::data(&told(&answered)?)
}

fn told(answered: &Answered) -> Result<String, Failure> {
    let exit = match answered.status {
        StatusCode::OK => return Ok(format!("{}\n", admin::text(answered))),
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Config,
        StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT => Exit::TryAgain,
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => Exit::Unavailable,
        _ => Exit::Data,
    };
    let text = admin::text(answered);
    let what = if exit == Exit::TryAgain {
        ""
    } else {
        "nothing was changed: "
    };
    Err(Failure::new(exit, format!("{what}{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &'static str) -> Answered {
        Answered {
            status: StatusCode::from_u16(status).unwrap(),
            body: hyper::body::Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn exit_codes_tell_whose_turn_it_is() {
        assert_eq!(
            told(&answered(200, "identity.source: none -> auto\n")).unwrap(),
            "identity.source: none -> auto\n"
        );
        for (status, exit) in [
            (422, Exit::Config),
            (409, Exit::TryAgain),
            (504, Exit::TryAgain),
            (500, Exit::Unavailable),
            (503, Exit::Unavailable),
            (404, Exit::Data),
        ] {
            assert_eq!(
                told(&answered(status, "why\n")).unwrap_err().exit(),
                exit,
                "{status}"
            );
        }
        let failure = told(&answered(422, "line 3: no key `x`\n")).unwrap_err();
        assert_eq!(failure.to_string(), "nothing was changed: line 3: no key `x`");
    }
}
