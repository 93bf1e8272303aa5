//! The keys of the metadata tree.
//!
//! In: a table in JSON. Out: a value or a directory by its path, in the server's ways to write them. Never decodes a path: the real server
//! knows no percent-encoding there.
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A directory or a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Directory(BTreeMap<String, Self>),
    /// A directory whose names are the numbers from 0.
    Numbered(Vec<Self>),
    Text(String),
    Number(u64),
    /// A leaf of several lines.
    Lines(Vec<String>),
    /// A leaf of several texts that is JSON unless text is asked for.
    JsonLines(Vec<String>),
    /// Made for each question: a token. Listed, but never part of a recursive answer.
    Made,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
}

/// What is at a path.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Node(&'a Node),
    /// A directory that was asked for without the slash at its end.
    WithoutSlash,
    Nothing,
}

/// Directories whose names were given by people, so that a recursive answer has them as they are.
const VERBATIM: [&str; 2] = ["attributes", "service-accounts"];

impl Node {
    /// By the table's shape. Numbers that are no whole ones and truth values have no place in it.
    pub(super) fn of(name: &str, value: &Value) -> Self {
        match value {
            Value::Object(members) => {
                Self::Directory(members.iter().map(|(k, v)| (k.clone(), Self::of(k, v))).collect())
            }
            Value::Array(entries) if entries.iter().all(Value::is_string) => {
                let lines = entries
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect();
                match name {
                    "tags" => Self::JsonLines(lines),
                    _ => Self::Lines(lines),
                }
            }
            Value::Array(entries) => Self::Numbered(entries.iter().map(|v| Self::of(name, v)).collect()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(number) => Self::Number(number.as_u64().unwrap_or_default()),
            Value::Null | Value::Bool(_) => Self::Made,
        }
    }

    /// By a path that begins with a slash.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let mut node = self;
        let mut parts = path.split('/').skip(1).peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() && parts.peek().is_none() {
                return if node.is_directory() {
                    Found::Node(node)
                } else {
                    Found::Nothing
                };
            }
            let Some(child) = node.child(part) else {
                return Found::Nothing;
            };
            node = child;
        }
        if node.is_directory() {
            Found::WithoutSlash
        } else {
            Found::Node(node)
        }
    }

    /// Straight to a node of the tree.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, part| node.child(part))
    }

    fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Directory(children) => children.get(name),
            // "00" and "+0" are no names.
            Self::Numbered(children) => {
                let index = name
                    .parse::<usize>()
                    .ok()
                    .filter(|index| index.to_string() == name)?;
                children.get(index)
            }
            _ => None,
        }
    }

    /// Sets a leaf, with the directories on its way.
    pub(super) fn set(&mut self, path: &[&str], leaf: Self) {
        match (path, &mut *self) {
            ([], this) => *this = leaf,
            ([name, rest @ ..], Self::Directory(children)) => children
                .entry((*name).to_owned())
                .or_insert_with(|| Self::Directory(BTreeMap::new()))
                .set(rest, leaf),
            (_, this) => {
                *this = Self::Directory(BTreeMap::new());
                this.set(path, leaf);
            }
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_) | Self::Numbered(_))
    }

    /// What it is written as if nobody says how.
    pub(super) fn form(&self, recursive: bool) -> Form {
        match self {
            Self::JsonLines(_) => Form::Json,
            Self::Directory(_) | Self::Numbered(_) if recursive => Form::Json,
            _ => Form::Text,
        }
    }

    /// Its name in each line; a directory's ends with a slash.
    pub(super) fn listing(&self) -> String {
        self.children()
            .into_iter()
            .map(|(name, child)| format!("{name}{}\n", if child.is_directory() { "/" } else { "" }))
            .collect()
    }

    fn children(&self) -> Vec<(String, &Self)> {
        match self {
            Self::Directory(children) => children.iter().map(|(k, v)| (k.clone(), v)).collect(),
            Self::Numbered(children) => {
                let numbered = children.iter().enumerate();
                numbered
                    .map(|(index, child)| (index.to_string(), child))
                    .collect()
            }
            _ => vec![],
        }
    }

    /// Everything below it.
    pub(super) fn json(&self) -> Value {
        self.json_named("")
    }

    fn json_named(&self, name: &str) -> Value {
        match self {
            Self::Directory(children) => {
                let written = children.iter().filter(|(_, child)| **child != Self::Made);
                let key = |k: &str| {
                    if VERBATIM.contains(&name) {
                        k.to_owned()
                    } else {
                        camel(k)
                    }
                };
                let members: Map<_, _> = written.map(|(k, v)| (key(k), v.json_named(k))).collect();
                members.into()
            }
            Self::Numbered(children) => children.iter().map(|child| child.json_named("")).collect(),
            Self::Text(text) => text.clone().into(),
            Self::Number(number) => (*number).into(),
            Self::Lines(lines) | Self::JsonLines(lines) => lines.clone().into(),
            Self::Made => Value::Null,
        }
    }

    /// A leaf's text; for a directory, a line for each leaf below it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Lines(lines) | Self::JsonLines(lines) => {
                lines.iter().map(|line| format!("{line}\n")).collect()
            }
            Self::Directory(_) | Self::Numbered(_) => {
                let mut out = String::new();
                self.lines_below("", &mut out);
                out
            }
            Self::Made => String::new(),
        }
    }

    fn lines_below(&self, above: &str, out: &mut String) {
        for (name, child) in self.children() {
            match child {
                Self::Directory(_) | Self::Numbered(_) => child.lines_below(&format!("{above}{name}/"), out),
                Self::Made => {}
                leaf => {
                    for line in leaf.text().split_terminator('\n') {
                        *out += &format!("{above}{name} {line}\n");
                    }
                }
            }
        }
    }
}

/// `device-name` as `deviceName`.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name + letters.as_str()
    })
}
