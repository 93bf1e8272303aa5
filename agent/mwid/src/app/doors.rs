//! The doors of our APIs: opened at the start, and changed by a reload without touching those that stay.
//!
//! In: settings, the sockets that systemd passed. Out: serving listeners. Never closes a door before its successor is open, and changes
//! nothing before all new ones are.
use crate::api::{admin, credential, workload};
use crate::config::{Address, DoorSettings, Settings, SocketSettings};
use crate::grpc;
use crate::http::listener::ListenError;
use crate::http::listener::unix::{self, FileId, Prepared, Wanted};
use crate::http::{self, Listener};
use crate::shutdown::Shutdown;
use crate::token_server;
use crate::units::listen::Passed;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Which API is behind a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    Admin,
    Workload,
    Metadata,
    Credential,
}

impl Api {
    /// Its key path.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Admin => "api.admin",
            Self::Workload => "api.workload",
            Self::Metadata => "api.metadata",
            Self::Credential => "api.credential",
        }
    }

    /// Of a socket that `listen` names by its path: as `socket` has it without a word in the file.
    fn mode(self) -> u32 {
        match self {
            Self::Admin => 0o660,
            Self::Workload | Self::Metadata => 0o666,
            Self::Credential => 0o600,
        }
    }
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    #[error("{}.socket", api.key())]
    Socket {
        api: Api,
        #[source]
        source: ListenError,
    },
    #[error("{}.listen", api.key())]
    Listen {
        api: Api,
        #[source]
        source: ListenError,
    },
    #[error(
        "{}.listen: systemd passed no socket named {name}; set FileDescriptorName={name} in the socket unit, and start mwid by it",
        api.key()
    )]
    NotPassed { api: Api, name: String },
    #[error("{}.listen: the socket {name} that systemd passed is not a listening Unix or TCP socket", api.key())]
    Passed {
        api: Api,
        name: String,
        #[source]
        source: io::Error,
    },
}

/// What a door is known by: a reload leaves a door with the same key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    api: Api,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Socket(SocketSettings),
    Listen(Address),
    /// Nobody asked for it: a machine without this family does without.
    IfPossible(SocketAddr),
}

struct Door {
    key: Key,
    /// Of a Unix socket that we made: its successor may replace it.
    file: Option<FileId>,
    serving: Shutdown,
}

impl Key {
    fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Socket(socket) => Some(&socket.path),
            Place::Listen(Address::Unix(path)) => Some(path),
            Place::Listen(_) | Place::IfPossible(_) => None,
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

/// What serves behind the doors.
pub(super) struct Apis {
    pub(super) admin: Arc<admin::Inputs>,
    pub(super) workload: Arc<workload::Server>,
    pub(super) metadata: Arc<token_server::Server>,
    pub(super) credential: credential::Server,
    pub(super) http_metrics: http::Metrics,
    pub(super) grpc_metrics: grpc::Metrics,
}

impl Apis {
    fn start(&self, api: Api, listener: Listener, serving: &Shutdown) {
        match api {
            Api::Admin => admin::start(vec![listener], &self.admin, &self.http_metrics, serving),
            Api::Workload => {
                let metrics = (&self.grpc_metrics, &self.http_metrics);
                self.workload.start(vec![listener], metrics, serving);
            }
            Api::Metadata => self.metadata.start(vec![listener], &self.http_metrics, serving),
            Api::Credential => self.credential.start(listener, serving),
        }
    }
}

/// All doors.
pub(super) struct Doors {
    open: Vec<Door>,
    passed: Passed,
    shutdown: Shutdown,
}

/// New doors, ready to be put in place.
pub(super) struct Change {
    opened: Vec<(Key, Opened)>,
    wanted: Vec<Key>,
}

/// The same, at their places: nothing of it can fail any more. Dropped, all is as it was before.
pub(super) struct Placed {
    opened: Vec<(Key, unix::Placed)>,
    wanted: Vec<Key>,
}

impl Doors {
    pub(super) fn new(passed: Passed, shutdown: Shutdown) -> Self {
        Self {
            open: vec![],
            passed,
            shutdown,
        }
    }

    /// First phase: opens what is new, out of sight. Changes nothing.
    pub(super) fn prepare(&self, settings: &Settings) -> Result<Change, DoorError> {
        let apis = [
            (Api::Admin, &settings.admin),
            (Api::Workload, &settings.workload),
            (Api::Metadata, &settings.metadata),
            (Api::Credential, &settings.credential),
        ];
        let wanted = apis.into_iter().flat_map(|(api, doors)| keys(api, doors));
        let wanted: Vec<Key> = wanted.collect();
        let mut opened = vec![];
        for key in &wanted {
            let is_open = |door: &Door| door.key == *key && door.can_be_reached();
            if !self.open.iter().any(is_open) {
                opened.extend(self.open_one(key)?.into_iter().map(|one| (key.clone(), one)));
            }
        }
        Ok(Change { opened, wanted })
    }

    /// Between the phases: puts the new doors at their places, which is the last that can fail. Nobody is served there until [`Doors::apply`].
    pub(super) fn place(change: Change) -> Result<Placed, DoorError> {
        let Change { opened, wanted } = change;
        let placed = opened.into_iter().map(|(key, opened)| {
            let placed = match opened {
                Opened::InPlace(listener) => listener.into(),
                Opened::Hidden(prepared) => prepared
                    .put_in_place()
                    .map_err(|source| DoorError::Socket { api: key.api, source })?,
            };
            Ok((key, placed))
        });
        let opened = placed.collect::<Result<_, DoorError>>()?;
        Ok(Placed { opened, wanted })
    }

    /// Second phase: serves at the new doors, then closes those that nobody wants any more. Tells whose doors changed.
    pub(super) fn apply(&mut self, change: Placed, apis: &Apis) -> BTreeSet<Api> {
        let mut changed: BTreeSet<Api> = change.opened.iter().map(|(key, _)| key.api).collect();
        let before = self.open.len();
        let replaced: Vec<Key> = change.opened.iter().map(|(key, _)| key.clone()).collect();
        for (key, placed) in change.opened {
            let listener = placed.keep();
            let file = listener.place();
            let serving = self.shutdown.child();
            apis.start(key.api, listener, &serving);
            self.wait_for_at_the_end(&serving);
            self.open.push(Door { key, file, serving });
        }
        let mut number = 0;
        self.open.retain(|door| {
            number += 1;
            let is_new = number > before;
            let stays = change.wanted.contains(&door.key) && (is_new || !replaced.contains(&door.key));
            if !stays {
                changed.insert(door.key.api);
                door.serving.ask();
            }
            stays
        });
        changed
    }

    /// A child's tasks are its own: the whole waits for them through this one.
    fn wait_for_at_the_end(&self, serving: &Shutdown) {
        let serving = serving.clone();
        self.shutdown.spawn(async move {
            serving.asked().await;
            if !serving.stop(super::PATIENCE).await {
                tracing::warn!("requests at a closed door did not end in time");
            }
        });
    }

    fn open_one(&self, key: &Key) -> Result<Vec<Opened>, DoorError> {
        let api = key.api;
        let listen = |source| DoorError::Listen { api, source };
        Ok(vec![match &key.place {
            Place::Socket(socket) => self
                .open_socket(socket)
                .map_err(|source| DoorError::Socket { api, source })?,
            Place::Listen(Address::Unix(path)) => {
                let socket = SocketSettings {
                    path: path.clone(),
                    mode: api.mode(),
                    owner: None,
                    group: None,
                };
                self.open_socket(&socket).map_err(listen)?
            }
            Place::Listen(Address::Tcp(address)) => {
                Listener::tcp(*address).map(Opened::InPlace).map_err(listen)?
            }
            Place::IfPossible(address) => match Listener::tcp(*address) {
                Ok(listener) => Opened::InPlace(listener),
                Err(error) if error.has_no_such_address() => {
                    tracing::debug!(%address, "not listened on: this machine has no such address");
                    return Ok(vec![]);
                }
                Err(error) => return Err(listen(error)),
            },
            Place::Listen(Address::Systemd(name)) => return self.open_passed(api, name),
        }])
    }

    /// All sockets of this name that systemd passed.
    fn open_passed(&self, api: Api, name: &str) -> Result<Vec<Opened>, DoorError> {
        let failed = |source| DoorError::Passed {
            api,
            name: name.to_owned(),
            source,
        };
        let sockets = self.passed.by_name(name).map_err(failed)?;
        if sockets.is_empty() {
            return Err(DoorError::NotPassed {
                api,
                name: name.to_owned(),
            });
        }
        let opened = sockets.into_iter().map(Listener::passed);
        let opened: io::Result<Vec<Listener>> = opened.collect();
        Ok(opened.map_err(failed)?.into_iter().map(Opened::InPlace).collect())
    }

    /// Says which of systemd's sockets nobody serves: their clients would wait for ever.
    pub(super) fn warn_of_unused(&self) {
        for name in self.passed.unused() {
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

/// What an API's settings want.
fn keys(api: Api, settings: &DoorSettings) -> Vec<Key> {
    let socket = settings.socket.iter().cloned().map(Place::Socket);
    let listen = settings.listen.iter().cloned().map(|address| match address {
        Address::Tcp(tcp) if settings.listen_by_default => Place::IfPossible(tcp),
        named => Place::Listen(named),
    });
    socket.chain(listen).map(|place| Key { api, place }).collect()
}

impl Change {
    /// The TCP addresses at which an API is going to be reached, new doors and old.
    pub(super) fn addresses(&self, api: Api) -> Vec<SocketAddr> {
        let named = self.wanted.iter().filter(|key| key.api == api);
        let named = named.filter_map(|key| match &key.place {
            Place::Listen(Address::Tcp(address)) | Place::IfPossible(address) => Some(*address),
            _ => None,
        });
        let opened = self.opened.iter().filter(|(key, _)| key.api == api);
        let opened = opened.filter_map(|(_, opened)| match opened {
            Opened::InPlace(listener) => listener.tcp_address(),
            Opened::Hidden(_) => None,
        });
        named.chain(opened).collect()
    }
}
