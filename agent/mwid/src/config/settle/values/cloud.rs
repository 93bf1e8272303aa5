//! Service accounts and the addresses of Google's APIs.
use super::quoted;
use crate::config::error::Wrong;
use hyper::Uri;
use std::net::IpAddr;

const LONGEST_ACCOUNT: usize = 254;

/// A service account by e-mail; it becomes a part of a URL's path.
pub(in super::super) fn account(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(
            &quoted(text),
            "a service account's e-mail address, such as name@project.iam.gserviceaccount.com",
        )
    };
    let fits = |part: &str, also: &[u8]| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b) || also.contains(&b))
    };
    match text.split_once('@') {
        Some((name, domain))
            if text.len() <= LONGEST_ACCOUNT
                && fits(name, b"_+")
                && fits(domain, b"")
                && domain.contains('.') =>
        {
            Ok(text.to_owned())
        }
        Some(_) => Err(wrong()),
        None => Err(wrong().fix("write the whole address: gcloud iam service-accounts list")),
    }
}

/// `https://HOST[:PORT]`, or http on loopback; without a final slash.
pub(in super::super) fn endpoint(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(
            &quoted(text),
            "an API's URL, https://HOST, such as https://iamcredentials.googleapis.com",
        )
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong().fix("begin it with https://"));
    };
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(wrong().fix("write the host alone, without a user"));
    }
    if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") || text.contains('#') {
        return Err(wrong().fix("write no path: mwid adds the method's own"));
    }
    let host = authority.host().trim_matches(['[', ']']);
    let loopback = host
        .parse()
        .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback());
    match scheme {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            return Err(wrong()
                .fix("tokens would travel in plain text; only 127.0.0.1 or [::1] may be asked over http"));
        }
        _ => return Err(wrong().fix("begin it with https://")),
    }
    // A port that is no number is none to the library.
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong().fix("write a port from 1 to 65535"));
    }
    Ok(format!("{scheme}://{authority}"))
}
