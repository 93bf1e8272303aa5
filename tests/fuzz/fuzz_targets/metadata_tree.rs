//! A tree of the platform's metadata, as somebody hostile may write it. It is cut up without a panic; what is left is JSON without service accounts
//! and, unless it may stay, without the X.509 identity; cutting it again changes nothing; ours fits in; and it can be written as lines.
#![no_main]
#![allow(
    dead_code,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

#[path = "../../../agent/mwid/src/token_server/mirror/path/mod.rs"]
mod path;
#[path = "../../../agent/mwid/src/token_server/mirror/tree/mod.rs"]
mod tree;

/// Whether a value holds what `is` finds, somewhere below these names.
fn holds(value: &Value, names: &mut Vec<String>, is: &dyn Fn(&[&str], &Value) -> bool) -> bool {
    let below = |name: String, value: &Value, names: &mut Vec<String>| {
        names.push(name);
        let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = is(&borrowed, value) || holds(value, names, is);
        names.pop();
        found
    };
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| below(name.clone(), value, names)),
        Value::Array(items) => items.iter().any(|value| below("0".to_owned(), value, names)),
        _ => false,
    }
}

fuzz_target!(|input: (bool, bool, &[u8])| {
    let (keep, below, document) = input;
    let names: &[&str] = if below { &["instance"] } else { &[] };
    let Ok(pruned) = tree::prune(document, names, keep) else {
        return;
    };
    let Ok(left) = serde_json::from_slice::<Value>(&pruned.body) else {
        // Deeper than values may be, or a number that no value holds: it is JSON all the same.
        serde_json::from_slice::<IgnoredAny>(&pruned.body).unwrap();
        return;
    };
    let mut at: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let custom = |names: &[&str], value: &Value| path::is_custom(names) && value.is_string();
    assert!(!holds(&left, &mut at, &|names, value| path::is_accounts(names)
        && !custom(names, value)));
    assert!(
        keep || !holds(&left, &mut at, &|names, value| path::is_identity(names)
            && !custom(names, value))
    );
    let again = tree::prune(&pruned.body, names, keep).unwrap();
    assert_eq!(*again.body, *pruned.body);
    let ours = tree::Ours {
        accounts: Some(Value::from("ours")),
        universe: Some("ours".to_owned()),
    };
    if let Some(whole) = ours.grafted(&pruned.body, pruned.accounts_at, pruned.universe_at.as_ref()) {
        serde_json::from_slice::<IgnoredAny>(&whole).unwrap();
        tree::lines(&whole, names).unwrap();
    }
    tree::lines(&pruned.body, names).unwrap();
});
