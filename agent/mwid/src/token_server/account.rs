//! What the tree tells of a service account. In: the account and what the caller may have. Out: JSON values. Never more scopes than the caller is
//! granted: Google's Python library asks for a token with exactly those that it reads here.
use super::target::Leaf;
use crate::caller::Grant;
use crate::config::AccessTokens;
use crate::tokens::AccountInfo;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What is in an account's directory.
pub(super) const LEAVES: &[&str] = &["aliases", "email", "identity", "scopes", "token"];

/// The directories of the one account.
pub(super) fn names(info: &AccountInfo) -> Vec<&str> {
    let mut names = vec!["default"];
    if !info.email.is_empty() && info.email != "default" {
        names.push(&info.email);
    }
    names
}

/// `{"default": …, "EMAIL": …}`; empty without an account.
pub(super) fn all(info: Option<&AccountInfo>, grant: &Grant) -> Value {
    let Some(info) = info else {
        return Value::Object(Map::new());
    };
    let whole = one(info, grant);
    let members = names(info)
        .into_iter()
        .map(|name| (name.to_owned(), whole.clone()));
    Value::Object(members.collect())
}

pub(super) fn one(info: &AccountInfo, grant: &Grant) -> Value {
    json!({
        "aliases": aliases(info),
        "email": info.email,
        "scopes": scopes(info, grant),
    })
}

pub(super) fn leaf(info: &AccountInfo, leaf: Leaf, grant: &Grant) -> Value {
    match leaf {
        Leaf::Aliases => aliases(info),
        Leaf::Email => json!(info.email),
        Leaf::Scopes => json!(scopes(info, grant)),
    }
}

fn aliases(info: &AccountInfo) -> Value {
    if info.aliases.is_empty() {
        json!(["default"])
    } else {
        json!(info.aliases)
    }
}

/// Those of a token that the caller gets when it asks for none.
fn scopes<'a>(info: &'a AccountInfo, grant: &'a Grant) -> &'a BTreeSet<String> {
    const NONE: &BTreeSet<String> = &BTreeSet::new();
    match &grant.access_tokens {
        AccessTokens::None => NONE,
        AccessTokens::Scopes(granted) => granted,
        AccessTokens::All => &info.scopes,
    }
}
