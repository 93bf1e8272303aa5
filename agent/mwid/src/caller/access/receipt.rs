//! A grant that is on record. In: the version of the rules that it was decided by, and its line of the record. Out: the line, as long as the rules
//! are the same. Never outlives a change of the rules.
use super::audit::Entry;
use std::fmt;
use std::sync::Arc;

/// With this, the same may be granted again without asking anew.
pub(crate) struct Receipt {
    version: u64,
    entry: Arc<Entry>,
}

impl Receipt {
    pub(super) fn new(version: u64, entry: Arc<Entry>) -> Self {
        Self { version, entry }
    }

    /// None: the rules are others by now, or the record has let the line go.
    pub(super) fn entry(&self, version: u64) -> Option<&Entry> {
        (self.version == version && !self.entry.is_forgotten()).then_some(&*self.entry)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}
