//! Paths of questions. In: what is asked for. Out: a path below `computeMetadata/v1/` with its query, as it goes on the wire. An account is
//! checked, not encoded: the server decodes no path. Everything in the query is encoded.
use super::answer::{is_account, is_scope};
use super::error::ServerError;
use crate::tokens::{Account, Binding, IdFormat};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const ACCOUNTS: &str = "instance/service-accounts";

/// As it is in a path.
pub(super) fn account(account: &Account) -> Result<&str, ServerError> {
    match account {
        Account::Default => Ok("default"),
        Account::Named(name) if is_account(name) => Ok(name),
        Account::Named(name) => Err(ServerError::AccountName {
            name: name.chars().take(260).collect(),
        }),
    }
}

pub(super) fn info(account: &str) -> String {
    format!("{ACCOUNTS}/{account}/?recursive=true")
}

/// With the account's own scopes, whatever the server thinks of `scopes`.
pub(super) fn whole(account: &str, binding: Option<&Binding>) -> String {
    bound(format!("{ACCOUNTS}/{account}/token"), binding)
}

/// With exactly these, from a server that knows how.
pub(super) fn narrow(
    account: &str,
    scopes: &BTreeSet<String>,
    binding: Option<&Binding>,
) -> Result<String, ServerError> {
    if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
        return Err(ServerError::ScopeName {
            scope: scope.chars().take(520).collect(),
        });
    }
    let mut path = format!("{ACCOUNTS}/{account}/token?enforce_scopes=true");
    let list = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    add(&mut path, "scopes", &list);
    Ok(bound(path, binding))
}

/// What a server that knows `enforce_scopes` must refuse, and one that does not know it answers with a token.
pub(super) fn proof(account: &str) -> String {
    let mut path = format!("{ACCOUNTS}/{account}/token?enforce_scopes=false");
    add(
        &mut path,
        "scopes",
        "https://www.googleapis.com/auth/cloud-platform",
    );
    path
}

pub(super) fn id(account: &str, audience: &str, format: IdFormat, binding: Option<&Binding>) -> String {
    let mut path = format!("{ACCOUNTS}/{account}/identity");
    add(&mut path, "audience", audience);
    let (format, licenses) = match format {
        IdFormat::Standard => ("standard", false),
        IdFormat::Full { licenses } => ("full", licenses),
    };
    add(&mut path, "format", format);
    if licenses {
        add(&mut path, "licenses", "TRUE");
    }
    bound(path, binding)
}

fn bound(mut path: String, binding: Option<&Binding>) -> String {
    for (name, value) in binding.iter().flat_map(|binding| &binding.query) {
        add(&mut path, name, value);
    }
    path
}

/// Encodes all but the unreserved characters of RFC 3986, 2.3.
fn add(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    for (text, end) in [(name, "="), (value, "")] {
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => path.push(byte.into()),
                // Writing to a text does not fail.
                other => drop(write!(path, "%{other:02X}")),
            }
        }
        path.push_str(end);
    }
}
