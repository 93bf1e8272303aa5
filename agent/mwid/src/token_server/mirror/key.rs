//! What one remembered answer is the answer to. In: a path and a query. Out: a key, and the question that goes to the platform. Never holds what a
//! caller wrote besides the path, which is judged before, and bounded parameters of keys that have some.
use super::path;
use super::query::{Alt, Query};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) form: Form,
    /// Encoded; only of keys that have any.
    pub(super) parameters: String,
}

/// How the platform is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// One value, or the names in a directory: these are text, whatever `alt` is asked for. What comes is passed on as it is.
    Plain { alt: Option<Alt> },
    /// A tree without secrets, as the platform writes it in text.
    Lines,
    /// A tree in JSON, pruned. `identity`: for those who may have the X.509 identity's private key.
    Tree { identity: bool },
}

impl Key {
    /// A plain value.
    pub(super) fn value(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            form: Form::Plain { alt: None },
            parameters: String::new(),
        }
    }

    pub(super) fn new(path: &str, query: &Query, identity: bool) -> Self {
        // A leaf has nothing below it, and a directory without its slash is redirected: neither is a tree.
        let directory = path.is_empty() || path.ends_with('/');
        let form = match query.alt {
            alt if !directory => Form::Plain { alt },
            _ if !query.recursive => Form::Plain { alt: None },
            Some(Alt::Text) if path::is_harmless(path) => Form::Lines,
            _ => Form::Tree { identity },
        };
        Self {
            path: path.to_owned(),
            form,
            parameters: if path::has_parameters(path) {
                query.others.text.clone()
            } else {
                String::new()
            },
        }
    }

    /// Whether an answer may hold the private key of the X.509 identity.
    pub(super) fn may_hold_identity(&self) -> bool {
        match self.form {
            Form::Tree { identity } => identity && !path::is_harmless(&self.path),
            Form::Plain { .. } | Form::Lines => path::kind(&self.path) == path::Kind::Identity,
        }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        path::names(&self.path)
    }

    /// With its query, as it goes on the wire; with an ETag the platform is to wait that long for another one.
    pub(super) fn question(&self, wait: Option<(&str, u64)>) -> String {
        let (recursive, alt) = match self.form {
            Form::Plain { alt } => (false, alt),
            Form::Lines => (true, Some(Alt::Text)),
            Form::Tree { .. } => (true, Some(Alt::Json)),
        };
        let query = Query {
            recursive,
            alt,
            ..Query::default()
        };
        let mut query = query.text();
        if !self.parameters.is_empty() {
            let mark = if query.is_empty() { "" } else { "&" };
            query += &format!("{mark}{}", self.parameters);
        }
        if let Some((etag, seconds)) = wait {
            let mark = if query.is_empty() { "" } else { "&" };
            query += &format!("{mark}wait_for_change=true&last_etag={etag}&timeout_sec={seconds}");
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}", self.path)
    }
}
