//! The doors of the admin API: opened at the start, and changed by a reload without touching those that stay.
//!
//! In: settings, the sockets that systemd passed. Out: serving listeners. Never closes a door before its successor is open, and changes
//! nothing before all new ones are.
use crate::api::admin;
use crate::config::{Address, DoorSettings, SocketSettings};
use crate::http::listener::ListenError;
use crate::http::listener::unix::{self, FileId, Prepared, Wanted};
use crate::http::{self, Listener};
use crate::shutdown::Shutdown;
use crate::units::listen::Passed;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    #[error("api.admin.socket")]
    Socket(#[source] ListenError),
    #[error("api.admin.listen")]
    Listen(#[source] ListenError),
    #[error(
        "api.admin.listen: systemd passed no socket named {name}; set FileDescriptorName={name} in the socket unit, and start mwid by it"
    )]
    NotPassed { name: String },
    #[error("api.admin.listen: the socket {name} that systemd passed is not a listening Unix or TCP socket")]
    Passed {
        name: String,
        #[source]
        source: io::Error,
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

impl Key {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Socket(socket) => Some(&socket.path),
            Self::Listen(Address::Unix(path)) => Some(path),
            Self::Listen(_) => None,
        }
    }
}

impl Door {
    /// False when somebody removed or replaced the socket's file: nobody can come in there any more.
    fn can_be_reached(&self) -> bool {
        match (self.file, self.key.path()) {
            (Some(file), Some(path)) => file.is_at(path),
            _ => true,
        }
    }
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
    /// Sockets from systemd that were asked for: kept, so that a reload may leave one out and another take it up again.
    taken: BTreeMap<String, Vec<OwnedFd>>,
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
        Self {
            open: vec![],
            passed,
            taken: BTreeMap::new(),
            inputs,
            metrics,
            shutdown,
        }
    }

    /// First phase: opens what is new, out of sight. Changes nothing.
    pub(super) fn prepare(&mut self, settings: &DoorSettings) -> Result<Change, DoorError> {
        let wanted: Vec<Key> = settings
            .socket
            .iter()
            .cloned()
            .map(Key::Socket)
            .chain(settings.listen.iter().cloned().map(Key::Listen))
            .collect();
        let mut opened = vec![];
        for key in &wanted {
            let is_open = |door: &Door| door.key == *key && door.can_be_reached();
            if !self.open.iter().any(is_open) {
                opened.extend(self.open_one(key)?.into_iter().map(|one| (key.clone(), one)));
            }
        }
        Ok(Change { opened, wanted })
    }

    /// Second phase: puts the new doors in place, then closes those that nobody wants any more. True when anything changed.
    pub(super) fn apply(&mut self, change: Change) -> Result<bool, DoorError> {
        let mut changed = !change.opened.is_empty();
        let before = self.open.len();
        let replaced: Vec<Key> = change.opened.iter().map(|(key, _)| key.clone()).collect();
        for (key, opened) in change.opened {
            let listener = match opened {
                Opened::InPlace(listener) => listener,
                Opened::Hidden(prepared) => prepared.put_in_place().map_err(DoorError::Socket)?,
            };
            let file = listener.place();
            let serving = self.shutdown.child();
            admin::start(vec![listener], &self.inputs, &self.metrics, &serving);
            self.wait_for_at_the_end(&serving);
            self.open.push(Door { key, file, serving });
        }
        let mut number = 0;
        self.open.retain(|door| {
            number += 1;
            let is_new = number > before;
            let stays = change.wanted.contains(&door.key) && (is_new || !replaced.contains(&door.key));
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

    fn open_one(&mut self, key: &Key) -> Result<Vec<Opened>, DoorError> {
        Ok(vec![match key {
            Key::Socket(socket) => self.open_socket(socket).map_err(DoorError::Socket)?,
            Key::Listen(Address::Unix(path)) => {
                let socket = SocketSettings {
                    path: path.clone(),
                    mode: 0o660,
                    owner: None,
                    group: None,
                };
                self.open_socket(&socket).map_err(DoorError::Listen)?
            }
            Key::Listen(Address::Tcp(address)) => Listener::tcp(*address)
                .map(Opened::InPlace)
                .map_err(DoorError::Listen)?,
            Key::Listen(Address::Systemd(name)) => return self.open_passed(name),
        }])
    }

    /// All sockets of this name that systemd passed.
    fn open_passed(&mut self, name: &str) -> Result<Vec<Opened>, DoorError> {
        let sockets = self
            .taken
            .entry(name.to_owned())
            .or_insert_with(|| self.passed.by_name(name));
        if sockets.is_empty() {
            return Err(DoorError::NotPassed {
                name: name.to_owned(),
            });
        }
        let open = |fd: &OwnedFd| fd.try_clone().and_then(listener).map(Opened::InPlace);
        let opened: io::Result<Vec<Opened>> = sockets.iter().map(open).collect();
        opened.map_err(|source| DoorError::Passed {
            name: name.to_owned(),
            source,
        })
    }

    /// Says which of systemd's sockets nobody serves: their clients would wait for ever.
    pub(super) fn warn_of_unused(&self) {
        for name in self.passed.names() {
            tracing::warn!(
                name,
                "systemd passed a socket that no setting names; add systemd:{name} or remove its unit"
            );
        }
    }

    fn open_socket(&self, socket: &SocketSettings) -> Result<Opened, ListenError> {
        let ours = self
            .open
            .iter()
            .find(|door| door.key.path() == Some(&*socket.path));
        let wanted = Wanted {
            path: &socket.path,
            mode: socket.mode,
            owner: socket.owner.as_deref(),
            group: socket.group.as_deref(),
        };
        unix::prepare(wanted, ours.and_then(|door| door.file)).map(Opened::Hidden)
    }
}

/// A listener of the kind that the socket is.
fn listener(fd: OwnedFd) -> io::Result<Listener> {
    let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    match address.family() {
        Some(AddressFamily::Unix) => Listener::open_unix(fd.into()),
        Some(AddressFamily::Inet | AddressFamily::Inet6) => Listener::open_tcp(fd.into()),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("its address family is {other:?}"),
        )),
    }
}
