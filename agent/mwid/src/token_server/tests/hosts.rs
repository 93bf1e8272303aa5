//! Callers in a test's hand.
use super::everything;
use crate::caller::{Denial, Grant, What};
use crate::http::{Holder, Stream};
use crate::token_server::guest::{Guest, Host};
use mtls_identity::UnixTime;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Says who comes, what they may have, and keeps the record.
#[derive(Clone)]
pub(super) struct Doorman(Arc<Shared>);

struct Shared {
    /// An error: the kernel does not say who that is.
    grant: Mutex<Result<Arc<Grant>, Arc<Denial>>>,
    /// Something about the callers cannot be looked up now.
    unsettled: AtomicBool,
    /// Whose the next connections are; root's when it is empty.
    users: Mutex<VecDeque<u32>>,
    record: Mutex<Vec<String>>,
}

impl Default for Doorman {
    fn default() -> Self {
        Self(Arc::new(Shared {
            grant: Mutex::new(Ok(Arc::new(everything()))),
            unsettled: AtomicBool::default(),
            users: Mutex::default(),
            record: Mutex::default(),
        }))
    }
}

impl Doorman {
    pub(super) fn grants(&self, grant: Grant) {
        *self.0.grant.lock().unwrap() = Ok(Arc::new(grant));
    }

    pub(super) fn knows_nobody(&self, why: Denial) {
        *self.0.grant.lock().unwrap() = Err(Arc::new(why));
    }

    pub(super) fn sees_all(&self, all: bool) {
        self.0.unsettled.store(!all, Ordering::SeqCst);
    }

    pub(super) fn expects(&self, users: impl IntoIterator<Item = u32>) {
        self.0.users.lock().unwrap().extend(users);
    }

    /// How many of the expected have not come yet.
    pub(super) fn missing(&self) -> usize {
        self.0.users.lock().unwrap().len()
    }

    /// What was put on record since the last call.
    pub(super) fn record(&self) -> Vec<String> {
        std::mem::take(&mut self.0.record.lock().unwrap())
    }
}

impl Host for Doorman {
    type Guest = Self;

    fn meet(&self, _: &Stream, _: &'static str) -> (Self, Option<Holder>) {
        let uid = self.0.users.lock().unwrap().pop_front().unwrap_or(0);
        let trusted = uid == 0;
        (self.clone(), Some(Holder { uid, trusted }))
    }
}

impl Guest for Doorman {
    type Receipt = Arc<Grant>;

    fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        self.0.grant.lock().unwrap().clone()
    }

    fn is_settled(&self) -> bool {
        !self.0.unsettled.load(Ordering::SeqCst)
    }

    async fn loses_identity(&self) {
        std::future::pending::<()>().await;
    }

    fn granted_at(&self, what: What<'_>, _: UnixTime) -> Option<Arc<Grant>> {
        self.granted(what);
        self.0.grant.lock().unwrap().clone().ok()
    }

    fn granted_again(&self, receipt: &Arc<Grant>, _: UnixTime) -> bool {
        let grant = self.0.grant.lock().unwrap();
        let holds = grant.as_ref().is_ok_and(|grant| Arc::ptr_eq(grant, receipt));
        if holds {
            self.0.record.lock().unwrap().push("granted again".to_owned());
        }
        holds
    }

    fn granted(&self, what: What<'_>) {
        self.0.record.lock().unwrap().push(format!("granted {what:?}"));
    }

    fn denied(&self, what: What<'_>, why: &str) {
        self.0
            .record
            .lock()
            .unwrap()
            .push(format!("denied {what:?}: {why}"));
    }
}
