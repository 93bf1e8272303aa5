//! Where settling is in the file, and the list of what it found wrong. Never stops at the first.
use super::{Misplaced, values};
use crate::config::error::Wrong;
use crate::config::key_path::{KeyPath, Step};
use crate::config::raw::{PathText, TimeText};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// A value's key path; all of them share one list of problems.
pub(super) struct At {
    path: KeyPath,
    problems: Rc<RefCell<Vec<Misplaced>>>,
}

impl At {
    pub(super) fn root() -> Self {
        Self {
            path: KeyPath::default(),
            problems: Rc::default(),
        }
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.and(Step::Key(key.to_owned()))
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.and(Step::Item(index))
    }

    fn and(&self, step: Step) -> Self {
        Self {
            path: self.path.and(step),
            problems: Rc::clone(&self.problems),
        }
    }

    pub(super) fn refuse(&self, wrong: Wrong) {
        self.problems.borrow_mut().push((self.path.clone(), wrong));
    }

    /// The value of a key, or what holds without it. A wrong value is put on the list, and settling goes on with the default.
    pub(super) fn take<T>(&self, key: &str, value: Option<Result<T, Wrong>>, silent: T) -> T {
        self.maybe(key, value).unwrap_or(silent)
    }

    pub(super) fn maybe<T>(&self, key: &str, value: Option<Result<T, Wrong>>) -> Option<T> {
        value?.map_err(|wrong| self.key(key).refuse(wrong)).ok()
    }

    pub(super) fn path(&self, raw: Option<PathText>, key: &str, silent: PathBuf) -> PathBuf {
        self.take(key, raw.map(|text| values::absolute(&text.0)), silent)
    }

    pub(super) fn time(
        &self,
        raw: Option<TimeText>,
        key: &str,
        bounds: RangeInclusive<Duration>,
        silent: Duration,
    ) -> Duration {
        self.take(key, raw.map(|text| values::time(&text.0, bounds)), silent)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Misplaced> {
        self.problems.take()
    }
}
