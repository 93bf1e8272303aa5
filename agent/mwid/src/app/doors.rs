//! The doors of the admin API: opened at the start, and changed by a reload without touching those that stay.
//!
//! In: settings, the sockets that systemd passed. Out: serving listeners. Never closes a door before its successor is open, and changes
//! nothing before all new ones are.
use crate::api::admin;
use crate::config::{Address, AdminSettings, SocketSettings};
use crate::http::listener::unix::{self, FileId, Prepared, Wanted};
use crate::http::listener::ListenError;
use crate::http::{self, Listener};
use crate::shutdown::Shutdown;
use crate::units::listen::{Passed, PassedError};
use std::sync::Arc;

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    #[error("api.admin.socket")]
    Socket(#[source] ListenError),
    #[error("api.admin.listen")]
    Listen(#[source] ListenError),
    #[error("api.admin.listen: systemd:{name}")]
    Passed {
        name: String,
        #[source]
        source: PassedError,
    },
}

/// What a door is known by: a reload leaves a door with the same key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Socket(SocketSettings),
    Listen(Address),
}

struct Door {
    key: Key,
    /// Of a Unix socket that we made: its successor may replace it.
    file: Option<FileId>,
    serving: Shutdown,
}

/// A door that is open but not in place.
enum Opened {
    InPlace(Listener),
    Hidden(Prepared),
}

/// All doors of the admin API.
pub(super) struct Doors {
    open: Vec<Door>,
    passed: Passed,
    inputs: Arc<admin::Inputs>,
    metrics: http::Metrics,
    shutdown: Shutdown,
}

/// New doors, ready to be put in place.
pub(super) struct Change {
    opened: Vec<(Key, Opened)>,
    wanted: Vec<Key>,
}

impl Doors {
    pub(super) fn new(
        passed: Passed,
        inputs: Arc<admin::Inputs>,
        metrics: http::Metrics,
        shutdown: Shutdown,
    ) -> Self {
        Self { open: vec![], passed, inputs, metrics, shutdown }
    }

    /// First phase: opens what is new, out of sight. Changes nothing.
    pub(super) fn prepare(&mut self, settings: &AdminSettings) -> Result<Change, DoorError> {
        let wanted: Vec<Key> = settings
            .socket
            .iter()
            .cloned()
            .map(Key::Socket)
            .chain(settings.listen.iter().cloned().map(Key::Listen))
            .collect();
        let mut opened = vec![];
        for key in &wanted {
            if !self.open.iter().any(|door| door.key == *key) {
                opened.push((key.clone(), self.open_one(key)?));
            }
        }
        Ok(Change { opened, wanted })
    }

    /// Second phase: puts the new doors in place, then closes those that nobody wants any more. True when anything changed.
    pub(super) fn apply(&mut self, change: Change) -> Result<bool, DoorError> {
        let mut changed = !change.opened.is_empty();
        for (key, opened) in change.opened {
            let listener = match opened {
                Opened::InPlace(listener) => listener,
                Opened::Hidden(prepared) => prepared.put_in_place().map_err(DoorError::Socket)?,
            };
            let file = match &listener {
                Listener::Unix(_, Some(place)) => Some(place.id()),
                _ => None,
            };
            let serving = self.shutdown.child();
            admin::start(vec![listener], &self.inputs, &self.metrics, &serving);
            self.wait_for_at_the_end(&serving);
            self.open.push(Door { key, file, serving });
        }
        self.open.retain(|door| {
            let stays = change.wanted.contains(&door.key);
            if !stays {
                changed = true;
                door.serving.ask();
            }
            stays
        });
        Ok(changed)
    }

    /// A child's tasks are its own: the whole waits for them through this one.
    fn wait_for_at_the_end(&self, serving: &Shutdown) {
        let serving = serving.clone();
        self.shutdown.spawn(async move {
            serving.asked().await;
            if !serving.stop(super::PATIENCE).await {
                tracing::warn!("requests at the admin API did not end in time");
            }
        });
    }

    fn open_one(&mut self, key: &Key) -> Result<Opened, DoorError> {
        match key {
            Key::Socket(socket) => self.open_socket(socket).map_err(DoorError::Socket),
            Key::Listen(Address::Unix(path)) => {
                let socket = SocketSettings { path: path.clone(), mode: 0o660, owner: None, group: None };
                self.open_socket(&socket).map_err(DoorError::Listen)
            }
            Key::Listen(Address::Tcp(address)) => {
                Listener::tcp(*address).map(Opened::InPlace).map_err(DoorError::Listen)
            }
            Key::Listen(Address::Systemd(name)) => {
                let passed = self.passed.listener(name);
                passed.map(Opened::InPlace).map_err(|source| DoorError::Passed { name: name.clone(), source })
            }
        }
    }

    fn open_socket(&self, socket: &SocketSettings) -> Result<Opened, ListenError> {
        let ours = self.open.iter().find(|door| match &door.key {
            Key::Socket(other) => other.path == socket.path,
            Key::Listen(Address::Unix(path)) => *path == socket.path,
            Key::Listen(_) => false,
        });
        let wanted = Wanted {
            path: &socket.path,
            mode: socket.mode,
            owner: socket.owner.as_deref(),
            group: socket.group.as_deref(),
        };
        unix::prepare(wanted, ours.and_then(|door| door.file)).map(Opened::Hidden)
    }
}
