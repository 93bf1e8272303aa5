//! Sessions that clients ask to resume. In: what a client offers. Out: no session, ever; a word to whoever wants to know. Never keeps one, never gives one.

use rustls::server::{ProducesTickets, StoresServerSessions};
use std::fmt;
use std::sync::Arc;

/// Called in the midst of a handshake, on its thread, when a client asks to resume a session.
#[derive(Clone)]
pub(super) struct Hook(pub(super) Arc<dyn Fn() + Send + Sync>);

/// A server's store of sessions, and its tickets: there are none.
#[derive(Clone, Debug)]
pub(super) struct NoSessions {
    pub(super) asked: Option<Hook>,
}

impl NoSessions {
    fn none(&self) -> Option<Vec<u8>> {
        if let Some(Hook(asked)) = &self.asked {
            asked();
        }
        None
    }
}

impl StoresServerSessions for NoSessions {
    fn put(&self, _key: Vec<u8>, _session: Vec<u8>) -> bool {
        false
    }

    // Of TLS 1.2.
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        self.none()
    }

    // Of TLS 1.3.
    fn take(&self, _key: &[u8]) -> Option<Vec<u8>> {
        self.none()
    }

    fn can_cache(&self) -> bool {
        false
    }
}

impl ProducesTickets for NoSessions {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    // Of TLS 1.2: rustls asks also where tickets are off.
    fn decrypt(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        self.none()
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
