//! `mwid token`: which token in, that token and a newline on standard output. Asks the daemon's metadata-compatible API as any client of
//! Google's does. Never shows a token in an error, and never keeps one.
mod ask;
mod question;
#[cfg(test)]
mod tests;

use super::{Exit, Failure, admin, args, daemon, output};
use crate::app;
use ask::Place;
use hyper::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

pub(super) fn run(args: &args::TokenArgs) -> Result<(), Failure> {
    // A token is a secret of this process too.
    app::close_process().map_err(|e| Failure::new(Exit::System, "no token is asked for").because(e))?;
    let (at, question, kind) = match &args.kind {
        args::TokenKind::Access(args) => (&args.at, question::access(&args.scopes), Kind::Access),
        args::TokenKind::Id(args) => (&args.at, question::id(args)?, Kind::Id),
    };
    let place = Place::of(&daemon::settings(at)?)?;
    let told = admin::talk(ask::ask(&place, &question))?;
    output::data(&line(kind, &told)?)
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Access,
    Id,
}

/// What the daemon said. The body may be a token: wiped.
struct Told {
    status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

/// The token on a line of its own.
fn line(kind: Kind, told: &Told) -> Result<Zeroizing<String>, Failure> {
    if told.status != StatusCode::OK {
        return Err(refused(told));
    }
    let token = match kind {
        Kind::Access => access_token(&told.body),
        Kind::Id => std::str::from_utf8(&told.body)
            .ok()
            .map(|text| Zeroizing::new(text.trim_end().to_owned())),
    };
    // What is no token could still hold one: it is not shown.
    let token = token.filter(|token| is_token(token)).ok_or_else(|| {
        Failure::new(
            Exit::Data,
            "the daemon's answer is no token: is it of another version than this command?",
        )
    })?;
    let mut line = Zeroizing::new(String::with_capacity(token.len() + 1));
    line.push_str(&token);
    line.push('\n');
    Ok(line)
}

fn access_token(body: &[u8]) -> Option<Zeroizing<String>> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
    }
    // The library's errors may quote what they stumbled over.
    let answer: Answer = serde_json::from_slice(body).ok()?;
    Some(Zeroizing::new(answer.access_token))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Only refusals are read as text.
fn refused(told: &Told) -> Failure {
    let exit = match told.status {
        StatusCode::FORBIDDEN => Exit::Permission,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Exit::TryAgain,
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Exit::Unavailable,
        _ => Exit::Data,
    };
    let said = words(&told.body).unwrap_or_else(|| match told.status {
        StatusCode::NOT_FOUND => {
            "there is no service account here, or no source of tokens: see `mwid status`".to_owned()
        }
        status => format!("the daemon answered {status}"),
    });
    Failure::new(exit, said)
}

/// The text of a refusal, which is sent as a page; of a page with marks, nothing.
fn words(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() || text.contains('<') {
        return None;
    }
    // In this order: `&amp;lt;` is the text `&lt;`.
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(super::words::clean(&plain))
}
