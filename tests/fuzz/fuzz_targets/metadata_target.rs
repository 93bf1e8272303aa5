//! A path is what it says or is not there, and a query is decoded without a panic. Input: what stands in the request line.
#![no_main]
#![allow(dead_code, reason = "the daemon's files as they are, of which a part is used here")]
use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/mwid/src/token_server/query.rs"]
mod query;
#[path = "../../../agent/mwid/src/token_server/target.rs"]
mod target;

use query::Query;
use target::{Leaf, Target};

const ROOT: &str = "/computeMetadata/v1/";
const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts/";

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some(target) = Target::find(path) {
        // Whatever was found is spelled in one way only.
        let below = |name: &str, leaf: &str| format!("{ACCOUNTS}{name}/{leaf}");
        match target {
            Target::Token(name) => assert_eq!(path, below(name, "token")),
            Target::Identity(name) => assert_eq!(path, below(name, "identity")),
            Target::Account(name) => assert_eq!(path, below(name, "")),
            Target::Leaf(name, Leaf::Aliases) => assert_eq!(path, below(name, "aliases")),
            Target::Leaf(name, Leaf::Email) => assert_eq!(path, below(name, "email")),
            Target::Leaf(name, Leaf::Scopes) => assert_eq!(path, below(name, "scopes")),
            Target::Tree(rest) => {
                assert_eq!(path, format!("{ROOT}{rest}"));
                assert!(!path.starts_with(ACCOUNTS), "ours is never asked of the platform");
            }
            _ => {}
        }
        assert!(!path.contains(['%', '\\']) && !path.contains("//"));
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
    }
    if let Ok(query) = Query::parse(query) {
        let _ = (query.one("audience"), query.boolean("recursive"), query.alt(), query.seconds());
        assert!(query.all("scopes").count() <= text.len());
        assert!(query.binding().len() <= text.len());
    }
});
