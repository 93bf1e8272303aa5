//! Whole trees of the metadata. In: a tree as the platform wrote it in JSON, and where it hangs. Out: the same bytes without what the caller may not
//! have, with our accounts and our universe in place of the platform's; as JSON or as lines of text. Never passes on what it cannot read, and makes no copy of a
//! secret that is not wiped: it cuts the document up instead of parsing it into values.
mod reader;
#[cfg(test)]
mod tests;
mod text;

pub(super) use text::lines;

use super::path;
use reader::Reader;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::ops::Range;
use zeroize::Zeroizing;

/// No tree of the platform is half as deep.
const DEEPEST: usize = 64;

/// Why a tree is not passed on. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    #[error("the tree is no JSON document")]
    Json(#[source] serde_json::Error),
    #[error("the tree is no UTF-8 text")]
    Encoding(#[source] std::str::Utf8Error),
    #[error("the tree is more than {DEEPEST} levels deep")]
    TooDeep,
    #[error("the tree cannot be taken apart at byte {at}")]
    Torn { at: usize },
}

/// A tree that is fit for a caller.
pub(super) struct Pruned {
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Where our accounts go in: right behind the brace of `instance`.
    pub(super) accounts_at: Option<usize>,
    /// Where the platform tells its universe domain.
    pub(super) universe_at: Option<Range<usize>>,
    /// The X.509 identity's private key is, or may be, in it.
    pub(super) holds_identity: bool,
}

/// What is ours to tell in a tree of the platform's.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) accounts: Option<Value>,
    /// None: the platform's holds.
    pub(super) universe: Option<String>,
}

/// Takes out the service accounts, and what holds the X.509 identity's private key unless it may stay. `names` is where the tree hangs.
pub(super) fn prune(document: &[u8], names: &[&str], keep_identity: bool) -> Result<Pruned, TreeError> {
    let text = std::str::from_utf8(document).map_err(TreeError::Encoding)?;
    // Once it is known to be JSON, cutting it up is simple.
    serde_json::from_str::<IgnoredAny>(text).map_err(TreeError::Json)?;
    let mut pruning = Pruning {
        reader: Reader::new(text),
        // It never grows beyond what it is made from, so that no shorter copy of it is left behind.
        body: Zeroizing::new(Vec::with_capacity(document.len())),
        names: names.iter().map(|&name| name.to_owned()).collect(),
        keep_identity,
        accounts_at: None,
        universe_at: None,
        holds_identity: false,
    };
    pruning.value()?;
    Ok(Pruned {
        body: pruning.body,
        accounts_at: pruning.accounts_at,
        universe_at: pruning.universe_at,
        holds_identity: pruning.holds_identity,
    })
}

impl Ours {
    /// Puts it into a pruned tree. None: nothing in it is ours.
    pub(super) fn grafted(
        &self,
        body: &[u8],
        accounts_at: Option<usize>,
        universe_at: Option<&Range<usize>>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut pieces: Vec<(Range<usize>, String)> = vec![];
        if let (Some(at), Some(accounts)) = (accounts_at, &self.accounts) {
            let comma = if body.get(at) == Some(&b'}') { "" } else { "," };
            pieces.push((at..at, format!("\"serviceAccounts\":{accounts}{comma}")));
        }
        if let (Some(at), Some(universe)) = (universe_at, &self.universe) {
            pieces.push((at.clone(), Value::from(universe.as_str()).to_string()));
        }
        if pieces.is_empty() {
            return None;
        }
        pieces.sort_by_key(|(at, _)| at.start);
        let room: usize = pieces.iter().map(|(_, text)| text.len()).sum();
        // It never grows, so that no copy of it is left behind.
        let mut whole = Zeroizing::new(Vec::with_capacity(body.len() + room));
        let mut from = 0;
        for (at, text) in pieces {
            whole.extend_from_slice(body.get(from..at.start).unwrap_or_default());
            whole.extend_from_slice(text.as_bytes());
            from = at.end;
        }
        whole.extend_from_slice(body.get(from..).unwrap_or_default());
        Some(whole)
    }
}

struct Pruning<'a> {
    reader: Reader<'a>,
    body: Zeroizing<Vec<u8>>,
    /// Where the reader is, from the root of the metadata.
    names: Vec<String>,
    keep_identity: bool,
    accounts_at: Option<usize>,
    universe_at: Option<Range<usize>>,
    holds_identity: bool,
}

impl Pruning<'_> {
    fn value(&mut self) -> Result<(), TreeError> {
        if self.names.len() > DEEPEST {
            return Err(TreeError::TooDeep);
        }
        match self.reader.next() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            _ => {
                let scalar = self.reader.scalar()?;
                let from = self.body.len();
                self.body.extend_from_slice(scalar.as_bytes());
                if path::is_universe_domain(&self.borrowed()) {
                    self.universe_at = Some(from..self.body.len());
                }
                Ok(())
            }
        }
    }

    fn object(&mut self) -> Result<(), TreeError> {
        self.body.push(b'{');
        if path::holds_accounts(&self.borrowed()) {
            self.accounts_at = Some(self.body.len());
        }
        let mut first = true;
        let mut members = self.reader.enter(b'{', b'}')?;
        while self.reader.more(&mut members)? {
            let key = self.reader.key()?;
            self.names.push(key.name);
            if self.stays() {
                if !std::mem::take(&mut first) {
                    self.body.push(b',');
                }
                self.body.extend_from_slice(key.raw.as_bytes());
                self.body.push(b':');
                self.value()?;
            } else {
                self.reader.skip(DEEPEST)?;
            }
            self.names.pop();
        }
        self.body.push(b'}');
        Ok(())
    }

    fn array(&mut self) -> Result<(), TreeError> {
        self.body.push(b'[');
        let mut first = true;
        let mut items = self.reader.enter(b'[', b']')?;
        while self.reader.more(&mut items)? {
            if !std::mem::take(&mut first) {
                self.body.push(b',');
            }
            self.names.push("0".to_owned());
            self.value()?;
            self.names.pop();
        }
        self.body.push(b']');
        Ok(())
    }

    /// Whether the member that is named last may stay; the reader is before its value.
    fn stays(&mut self) -> bool {
        let names = self.borrowed();
        let (accounts, identity) = (path::is_accounts(&names), path::is_identity(&names));
        if path::is_custom(&names) && self.reader.next() == Some(b'"') {
            return true;
        }
        if identity && !accounts && self.keep_identity {
            self.holds_identity = true;
        }
        !accounts && (!identity || self.keep_identity)
    }

    fn borrowed(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}
