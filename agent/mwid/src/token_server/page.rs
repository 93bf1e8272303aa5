//! Values of the tree as answers. In: a JSON value and the wanted form. Out: a body with its type and ETag. Never holds a token.
use super::query::Alt;
use super::words;
use crate::http::reply::Reply;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::Value;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

/// A value, ready to be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    content_type: HeaderValue,
    body: String,
    /// 16 hexadecimal digits that stand for the body.
    pub(super) etag: String,
}

impl Page {
    /// One value: text if nothing else is asked for. `text_type` is what that is sent as.
    pub(super) fn leaf(value: &Value, alt: Option<Alt>, text_type: HeaderValue) -> Self {
        match alt {
            Some(Alt::Json) => Self::new(words::JSON, value.to_string()),
            _ => Self::new(text_type, text(value)),
        }
    }

    /// A directory with all that is in it: JSON if nothing else is asked for.
    pub(super) fn tree(value: &Value, alt: Option<Alt>) -> Self {
        match alt {
            Some(Alt::Text) => {
                let mut lines = String::new();
                flatten(value, "", &mut lines);
                Self::new(words::TEXT, lines)
            }
            _ => Self::new(words::JSON, value.to_string()),
        }
    }

    /// A directory's names, one a line.
    pub(super) fn listing(names: &[&str]) -> Self {
        let lines = names.iter().map(|name| format!("{name}\n")).collect();
        Self::new(words::TEXT, lines)
    }

    fn new(content_type: HeaderValue, body: String) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body.as_bytes());
        Self {
            content_type,
            etag: format!("{:016x}", hasher.finish()),
            body,
        }
    }

    pub(super) fn reply(self) -> Reply {
        let etag = HeaderValue::try_from(&self.etag).ok();
        let reply = words::reply(StatusCode::OK, self.content_type, self.body);
        words::tagged(reply, etag.as_ref())
    }
}

/// A list is one line an item; one value stands alone, without a newline that clients would take for a part of it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| text(item) + "\n").collect(),
        other => other.to_string(),
    }
}

/// `default/email x@y`: a line for each value, with its path.
fn flatten(value: &Value, path: &str, lines: &mut String) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let slash = if path.is_empty() { "" } else { "/" };
                flatten(member, &format!("{path}{slash}{}", key(name)), lines);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(item, path, lines)),
        other => {
            // Writing to a String cannot fail.
            writeln!(lines, "{path} {}", text(other)).ok();
        }
    }
}

/// `universeDomain` is `universe-domain` in a path. Names of accounts are as they are.
fn key(name: &str) -> String {
    if name.contains('@') {
        return name.to_owned();
    }
    let mut key = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            key.push('-');
        }
        key.push(c.to_ascii_lowercase());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_has_the_form_that_is_asked_for() {
        let (email, scopes) = (json!("a@b"), json!(["x", "y"]));
        let body = |page: Page| (page.content_type.to_str().unwrap().to_owned(), page.body);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let text = |v: &Value| body(Page::leaf(v, None, words::TEXT));
        assert_eq!(text(&email), pair("application/text", "a@b"), "no newline");
        assert_eq!(text(&scopes), pair("application/text", "x\ny\n"));
        assert_eq!(text(&json!([])), pair("application/text", ""));
        let as_json = |v: &Value| body(Page::leaf(v, Some(Alt::Json), words::TEXT));
        assert_eq!(as_json(&email), pair("application/json", "\"a@b\""));
        assert_eq!(as_json(&scopes), pair("application/json", "[\"x\",\"y\"]"));
        let tree = json!({"A@b": {"email": "a@b", "scopes": ["x", "y"]}, "universeDomain": "d"});
        assert_eq!(
            body(Page::tree(&tree, Some(Alt::Text))),
            pair(
                "application/text",
                "A@b/email a@b\nA@b/scopes x\nA@b/scopes y\nuniverse-domain d\n"
            )
        );
        assert_eq!(
            body(Page::tree(&tree, None)),
            pair("application/json", &tree.to_string())
        );
        assert_eq!(
            body(Page::listing(&["a/", "b"])),
            pair("application/text", "a/\nb\n")
        );
    }

    #[test]
    fn an_etag_stands_for_the_value() {
        let etag = |v: Value| Page::leaf(&v, None, words::TEXT).etag;
        assert_eq!(etag(json!("a")), etag(json!("a")));
        assert_ne!(etag(json!("a")), etag(json!("b")));
        assert!(etag(json!("a")).len() == 16 && etag(json!("a")).bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
