//! `api`: sockets and addresses of our own.
use super::place::At;
use super::values;
use crate::config::defaults::{ADMIN_MODE, ADMIN_SOCKET, Defaults};
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{Address, DoorSettings, SocketSettings};
use std::path::Path;

const MOST_ADDRESSES: usize = 64;

pub(super) fn admin(at: &At, raw: raw::Admin, base: &Defaults) -> DoorSettings {
    let unsafe_listen = raw.unsafe_listen == Some(true);
    DoorSettings {
        listen_by_default: raw.listen.is_none(),
        listen: listen(&at.key("listen"), raw.listen, &base.runtime_dir, unsafe_listen),
        socket: socket(at, raw.socket, raw.mode, raw.owner, raw.group, base),
    }
}

fn socket(
    at: &At,
    raw: Option<raw::Socket>,
    mode: Option<raw::ModeText>,
    owner: Option<raw::NameText>,
    group: Option<raw::NameText>,
    base: &Defaults,
) -> Option<SocketSettings> {
    let silent = base.runtime_dir.join(ADMIN_SOCKET);
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
        Some(raw::Socket::Path(text)) => Some(values::socket_path(&text, &base.runtime_dir)),
        // The default lies in a runtime_dir that may be too long for it.
        None => Some(values::socket_path(ADMIN_SOCKET, &base.runtime_dir)),
    };
    Some(SocketSettings {
        path: at.take("socket", path, silent),
        mode: at.take(
            "mode",
            mode.map(|text| values::mode(&text.0, 0o666, "0660")),
            ADMIN_MODE,
        ),
        owner: at.maybe("owner", owner.map(|text| values::name(&text.0))),
        group: at.maybe("group", group.map(|text| values::name(&text.0))),
    })
}

/// A key that does nothing misleads.
fn no_use(at: &At, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, given)| *given) {
        at.key(key)
            .refuse(Wrong::new("a key of no use, since `socket` is off", "no such key").fix("remove it"));
    }
}

fn listen(at: &At, raw: Option<raw::Listen>, runtime_dir: &Path, unsafe_listen: bool) -> Vec<Address> {
    let texts = match raw {
        None | Some(raw::Listen::Off) => return Vec::new(),
        Some(raw::Listen::One(text)) => {
            return match judged(&text.0, runtime_dir, unsafe_listen) {
                Ok(address) => vec![address],
                Err(wrong) => {
                    at.refuse(wrong);
                    Vec::new()
                }
            };
        }
        Some(raw::Listen::Many(texts)) => texts,
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
