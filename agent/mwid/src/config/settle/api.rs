//! `api`: sockets and addresses of our own.
use super::place::At;
use super::{apart, sds, values};
use crate::config::defaults::{
    ADMIN_MODE, ADMIN_SOCKET, CREDENTIAL_MODE, CREDENTIAL_SOCKET, Defaults, METADATA_MODE, METADATA_SOCKET,
    WORKLOAD_MODE, WORKLOAD_SOCKET,
};
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{Address, DoorSettings, SdsSettings, SocketSettings};
use std::path::Path;

const MOST_ADDRESSES: usize = 64;

/// All APIs.
pub(super) struct Doors {
    pub(super) admin: DoorSettings,
    pub(super) workload: DoorSettings,
    pub(super) metadata: DoorSettings,
    pub(super) sds: SdsSettings,
    pub(super) credential: DoorSettings,
}

/// What one API is where the file is silent.
struct Silent {
    socket: &'static str,
    mode: u32,
    example: &'static str,
    listen: Vec<Address>,
}

pub(super) fn settle(at: &At, raw: raw::Api, base: &Defaults) -> Doors {
    let silent = base.settings();
    let admin = Silent {
        socket: ADMIN_SOCKET,
        mode: ADMIN_MODE,
        example: "0660",
        listen: silent.admin.listen,
    };
    let workload = Silent {
        socket: WORKLOAD_SOCKET,
        mode: WORKLOAD_MODE,
        example: "0666",
        listen: silent.workload.listen,
    };
    let metadata = Silent {
        socket: METADATA_SOCKET,
        mode: METADATA_MODE,
        example: "0666",
        listen: silent.metadata.listen,
    };
    let credential = Silent {
        socket: CREDENTIAL_SOCKET,
        mode: CREDENTIAL_MODE,
        example: "0600",
        listen: silent.credential.listen,
    };
    let raw_admin = raw.admin.unwrap_or_default();
    let (raw_workload, raw_sds) = raw.workload.unwrap_or_default().into_parts();
    let raw_metadata = raw.metadata.unwrap_or_default();
    let raw_credential = raw.credential.unwrap_or_default();
    let said = [&raw_admin, &raw_workload, &raw_metadata, &raw_credential].map(apart::Said::of);
    let doors = Doors {
        admin: door(&at.key("admin"), raw_admin, &admin, base),
        workload: door(&at.key("workload"), raw_workload, &workload, base),
        metadata: door(&at.key("metadata"), raw_metadata, &metadata, base),
        sds: sds::settle(&at.key("workload").key("sds"), raw_sds),
        credential: door(&at.key("credential"), raw_credential, &credential, base),
    };
    no_tcp(&at.key("credential").key("listen"), &doors.credential);
    // Not when something was wrong: what stands in for a wrong value would clash with others.
    if at.is_clean() {
        apart::doors(
            at,
            &[
                ("admin", &doors.admin, &said[0]),
                ("workload", &doors.workload, &said[1]),
                ("metadata", &doors.metadata, &said[2]),
                ("credential", &doors.credential, &said[3]),
            ],
        );
    }
    doors
}

fn door(at: &At, raw: raw::Door, silent: &Silent, base: &Defaults) -> DoorSettings {
    let unsafe_listen = raw.unsafe_listen == Some(true);
    DoorSettings {
        listen_by_default: raw.listen.is_none(),
        listen: match raw.listen {
            Some(listen) => self::listen(&at.key("listen"), listen, &base.runtime_dir, unsafe_listen),
            None => silent.listen.clone(),
        },
        socket: socket(at, raw.socket, (raw.mode, raw.owner, raw.group), silent, base),
    }
}

fn socket(
    at: &At,
    raw: Option<raw::Socket>,
    (mode, owner, group): (
        Option<raw::ModeText>,
        Option<raw::NameText>,
        Option<raw::NameText>,
    ),
    silent: &Silent,
    base: &Defaults,
) -> Option<SocketSettings> {
    let path = match raw {
        Some(raw::Socket::Off) => {
            no_use(
                at,
                &[
                    ("mode", mode.is_some()),
                    ("owner", owner.is_some()),
                    ("group", group.is_some()),
                ],
            );
            return None;
        }
        Some(raw::Socket::Path(text)) => values::socket_path(&text, &base.runtime_dir),
        // The default lies in a runtime_dir that may be too long for it.
        None => values::socket_path(silent.socket, &base.runtime_dir),
    };
    Some(SocketSettings {
        path: at.take("socket", Some(path), base.runtime_dir.join(silent.socket)),
        mode: at.take(
            "mode",
            mode.map(|text| values::mode(&text.0, 0o666, silent.example)),
            silent.mode,
        ),
        owner: at.maybe("owner", owner.map(|text| values::name(&text.0))),
        group: at.maybe("group", group.map(|text| values::name(&text.0))),
    })
}

/// On TCP nobody can tell which unit's credential is asked for.
fn no_tcp(at: &At, door: &DoorSettings) {
    let tcp = door.listen.iter().find_map(|address| match address {
        Address::Tcp(tcp) => Some(tcp),
        Address::Unix(_) | Address::Systemd(_) => None,
    });
    if let Some(address) = tcp {
        at.refuse(
            Wrong::new(&address.to_string(), "unix:PATH or systemd:NAME")
                .fix("systemd fetches credentials from Unix sockets alone"),
        );
    }
}

/// A key that does nothing misleads.
fn no_use(at: &At, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        at.key(key)
            .refuse(Wrong::new("a key of no use, since `socket` is off", "no such key").fix("remove it"));
    }
}

fn listen(at: &At, raw: raw::Listen, runtime_dir: &Path, unsafe_listen: bool) -> Vec<Address> {
    let texts = match raw {
        raw::Listen::Off => return Vec::new(),
        raw::Listen::One(text) => {
            return match judged(&text.0, runtime_dir, unsafe_listen) {
                Ok(address) => vec![address],
                Err(wrong) => {
                    at.refuse(wrong);
                    Vec::new()
                }
            };
        }
        raw::Listen::Many(texts) => texts,
    };
    if texts.len() > MOST_ADDRESSES {
        at.refuse(Wrong::new(
            &format!("{} addresses", texts.len()),
            format!("at most {MOST_ADDRESSES}"),
        ));
        return Vec::new();
    }
    let mut addresses = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match judged(&text.0, runtime_dir, unsafe_listen) {
            Ok(address) if addresses.contains(&address) => at.item(index).refuse(Wrong::new(
                &format!("{} a second time", values::quoted(&text.0)),
                "each address once",
            )),
            Ok(address) => addresses.push(address),
            Err(wrong) => at.item(index).refuse(wrong),
        }
    }
    addresses
}

/// Plaintext leaves this machine only when the file says so.
fn judged(text: &str, runtime_dir: &Path, unsafe_listen: bool) -> Result<Address, Wrong> {
    let address = values::address(text, runtime_dir)?;
    match &address {
        Address::Tcp(tcp) if !tcp.ip().to_canonical().is_loopback() && !unsafe_listen => Err(Wrong::new(
            &format!("{}, which is not loopback", values::quoted(text)),
            "a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext",
        )
        .fix("listen there and put TLS before it, or say unsafe_listen: true beside it")),
        _ => Ok(address),
    }
}
