//! No two of our places are in each other's way: published directories, sockets, addresses; and no source is mwid itself.
use super::place::At;
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{
    Address, DoorSettings, Endpoint, RouteSettings, Settings, Side, SourceSettings, Target,
    TokenSourceSettings,
};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A published directory is replaced as a whole: nothing else of ours may be in it, and it may not hold another.
pub(super) fn directories(root: &At, settings: &Settings) {
    let list = root.key("publish");
    for (index, entry) in settings.publish.iter().enumerate() {
        let here = list.item(index).key("directory");
        let clash = settings.publish[..index]
            .iter()
            .position(|other| nested(&entry.directory, &other.directory))
            .map(|other| {
                (
                    format!("the directory of publish[{other}]"),
                    &settings.publish[other].directory,
                )
            });
        let clash = clash.or_else(|| in_the_way(settings, &entry.directory));
        if let Some((what, path)) = clash {
            here.refuse(
                Wrong::new(
                    &format!(
                        "{}, which is, holds or lies in {what} ({})",
                        entry.directory.display(),
                        path.display()
                    ),
                    "a directory of its own",
                )
                .fix("a published directory is replaced as a whole; choose another"),
            );
        }
    }
}

fn in_the_way<'s>(settings: &'s Settings, directory: &Path) -> Option<(String, &'s PathBuf)> {
    if settings.runtime_dir.starts_with(directory) {
        return Some(("runtime_dir".to_owned(), &settings.runtime_dir));
    }
    if let SourceSettings::GuestAgent {
        directory: source, ..
    } = &settings.identity.source
        && nested(directory, source)
    {
        return Some(("the source's directory".to_owned(), source));
    }
    [
        ("the admin socket", &settings.admin),
        ("the workload socket", &settings.workload),
        ("the metadata socket", &settings.metadata),
        ("the credential socket", &settings.credential),
    ]
    .into_iter()
    .filter_map(|(what, door)| Some((what, &door.socket.as_ref()?.path)))
    .find(|(_, path)| path.starts_with(directory))
    .map(|(what, path)| (what.to_owned(), path))
}

/// Whether one is in the other, or in the hidden sibling (`.identity` beside `identity`) that keeps the other's generations.
fn nested(one: &Path, other: &Path) -> bool {
    one.starts_with(other)
        || other.starts_with(one)
        || one.starts_with(hidden_sibling(other))
        || other.starts_with(hidden_sibling(one))
}

fn hidden_sibling(directory: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(directory.file_name().unwrap_or_default());
    directory.with_file_name(name)
}

/// What the file itself says of an API, so that a clash with a default is told where the file has a word to change.
pub(super) struct Said {
    socket: bool,
    listen: bool,
    /// `listen: [A]`, where the keys of the addresses have an index.
    list: bool,
}

impl Said {
    pub(super) fn of(raw: &raw::Door) -> Self {
        Self {
            socket: raw.socket.is_some(),
            listen: raw.listen.is_some(),
            list: !matches!(raw.listen, Some(raw::Listen::One(_))),
        }
    }
}

/// One place where we would listen.
struct Spot {
    at: At,
    key: String,
    said: bool,
    address: Address,
}

/// No address is listened on twice, whichever API wants it.
pub(super) fn doors(api: &At, doors: &[(&str, &DoorSettings, &Said)]) {
    let mut spots: Vec<Spot> = Vec::new();
    for (name, door, said) in doors {
        for spot in spots_of(api, name, door, said) {
            let Some(other) = spots.iter().find(|other| clash(&other.address, &spot.address)) else {
                spots.push(spot);
                continue;
            };
            let (here, there) = if spot.said { (&spot, other) } else { (other, &spot) };
            here.at.refuse(
                Wrong::new(
                    &format!("{}, where {} is ({})", here.address, there.key, there.address),
                    "an address of its own",
                )
                .fix("each API listens somewhere else; change one of the two, or say off"),
            );
        }
    }
}

fn spots_of(api: &At, name: &str, door: &DoorSettings, said: &Said) -> Vec<Spot> {
    let at = api.key(name);
    let mut spots = Vec::new();
    if let Some(socket) = &door.socket {
        spots.push(Spot {
            at: at.key("socket"),
            key: format!("api.{name}.socket"),
            said: said.socket,
            address: Address::Unix(socket.path.clone()),
        });
    }
    for (index, address) in door.listen.iter().enumerate() {
        let (at, key) = if said.list {
            (
                at.key("listen").item(index),
                format!("api.{name}.listen[{index}]"),
            )
        } else {
            (at.key("listen"), format!("api.{name}.listen"))
        };
        spots.push(Spot {
            at,
            key,
            said: said.listen,
            address: address.clone(),
        });
    }
    spots
}

/// No route listens where an API or another route does.
pub(super) fn routes(root: &At, settings: &Settings) {
    let proxy = root.key("proxy");
    let mut taken: Vec<(String, Address)> = Vec::new();
    let doors = [
        ("admin", &settings.admin),
        ("metadata", &settings.metadata),
        ("workload", &settings.workload),
        ("credential", &settings.credential),
    ];
    for (name, door) in doors {
        let socket = door
            .socket
            .iter()
            .map(|socket| Address::Unix(socket.path.clone()));
        let all = socket.chain(door.listen.iter().cloned());
        taken.extend(all.map(|address| (format!("api.{name}"), address)));
    }
    let apis = taken.clone();
    let ways_out = ways_out(settings);
    // The list is clean, so that each has its place in the file.
    let (mut inbound, mut outbound) = (0, 0);
    for route in &settings.proxy.routes {
        let (side, number) = match route.side {
            Side::Inbound => ("inbound", &mut inbound),
            Side::Outbound { .. } => ("outbound", &mut outbound),
        };
        let index = *number;
        *number += 1;
        let at = proxy.key(side).item(index);
        apart_from_its_targets(&at, route, &apis, &ways_out);
        let address = &route.listen.address;
        if let Some((there, other)) = taken.iter().find(|(_, other)| clash(other, address)) {
            at.key("listen").refuse(
                Wrong::new(
                    &format!("{address}, where {there} is ({other})"),
                    "an address of its own",
                )
                .fix("each route listens somewhere else; change one of the two"),
            );
        }
        taken.push((format!("proxy.{side}[{index}]"), address.clone()));
    }
}

/// Where outbound routes listen, for local programs.
fn ways_out(settings: &Settings) -> Vec<(String, Address)> {
    let outbound = settings
        .proxy
        .routes
        .iter()
        .filter(|route| matches!(route.side, Side::Outbound { .. }));
    outbound
        .enumerate()
        .map(|(index, route)| (format!("proxy.outbound[{index}]"), route.listen.address.clone()))
        .collect()
}

/// At an API of mwid's and at an outbound route, mwid itself would be the caller, who may have everything; and an outbound route that leads to one
/// leads to itself sooner or later. An inbound route is no such place: it asks who comes.
fn apart_from_its_targets(
    at: &At,
    route: &RouteSettings,
    apis: &[(String, Address)],
    ways_out: &[(String, Address)],
) {
    let targets = &route.targets;
    if let Side::Outbound { .. } = route.side {
        let fix = "mwid itself would be the caller there, past the access rules, and connections might go round; name the server in `connect`, \
                   or listen somewhere else";
        leads_to_none(
            &at.key("connect"),
            targets,
            ways_out,
            ("the address of a server", fix),
        );
        return;
    }
    let at = at.key("forward");
    let wanted = "an application's address";
    let fix = "a peer from the network would have what mwid's own user has; no route leads to an API of mwid";
    leads_to_none(&at, targets, apis, (wanted, fix));
    let fix =
        "a peer from the network would use that route as mwid's own user; no route leads to an outbound one";
    leads_to_none(&at, targets, ways_out, (wanted, fix));
}

fn leads_to_none(
    at: &At,
    targets: &[Target],
    places: &[(String, Address)],
    (wanted, fix): (&'static str, &'static str),
) {
    for (index, target) in targets.iter().enumerate() {
        let Some((there, other)) = places.iter().find(|(_, other)| leads_to(target, other)) else {
            continue;
        };
        let wrong = Wrong::new(&format!("{target}, where {there} is ({other})"), wanted).fix(fix);
        if targets.len() == 1 {
            at.refuse(wrong);
        } else {
            at.item(index).refuse(wrong);
        }
    }
}

/// Whether who connects to this target meets who listens there. A name is not looked up here; of `localhost` it is known what it means (RFC 6761).
fn leads_to(target: &Target, ours: &Address) -> bool {
    match (target, ours) {
        (Target::Tcp(asked), Address::Tcp(ours)) => answers(*ours, *asked),
        (Target::Name { host, port }, Address::Tcp(ours)) => {
            let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            (host == "localhost" || host.ends_with(".localhost"))
                && loopback
                    .into_iter()
                    .any(|ip: IpAddr| answers(*ours, (ip, *port).into()))
        }
        (Target::Unix(asked), Address::Unix(ours)) => asked == ours,
        _ => false,
    }
}

fn clash(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => tcp_clash(*one, *other),
        _ => one == other,
    }
}

/// Port 0 is a free one each time; an unspecified address is every address of its family, and `[::]` those of both.
fn tcp_clash(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: SocketAddr, ip: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || ip.ip().to_canonical().is_ipv4())
    };
    let same = one.ip().to_canonical() == other.ip().to_canonical();
    one.port() != 0 && one.port() == other.port() && (same || covers(one, other) || covers(other, one))
}

/// No source is asked at an address where we answer like a metadata server: mwid would wait for itself.
pub(super) fn sources(root: &At, settings: &Settings) {
    let identity = root.key("identity").key("source");
    match &settings.identity.source {
        SourceSettings::Metadata { address, .. } => {
            not_ourselves(&identity.key("metadata"), *address, settings);
        }
        SourceSettings::MetadataGrpc { address, .. } => {
            not_ourselves(&identity.key("metadata_grpc"), *address, settings);
        }
        SourceSettings::WorkloadApi { socket, .. } => {
            not_our_agent(&identity.key("workload_api"), socket, settings);
        }
        SourceSettings::Auto
        | SourceSettings::None
        | SourceSettings::GuestAgent { .. }
        | SourceSettings::DevCa { .. } => {}
    }
    token_source(&root.key("tokens").key("source"), &settings.tokens, settings);
}

fn token_source(at: &At, source: &TokenSourceSettings, settings: &Settings) {
    match source {
        TokenSourceSettings::Metadata { address } => not_ourselves(&at.key("metadata"), *address, settings),
        TokenSourceSettings::Impersonate { from, .. } => {
            token_source(&at.key("impersonate").key("from"), from, settings);
        }
        TokenSourceSettings::Auto
        | TokenSourceSettings::None
        | TokenSourceSettings::Adc { .. }
        | TokenSourceSettings::Dev => {}
    }
}

fn not_ourselves(at: &At, address: Option<SocketAddr>, settings: &Settings) {
    let Some(asked) = address else { return };
    let ours = settings.metadata.listen.iter().find_map(|ours| match ours {
        Address::Tcp(ours) if answers(*ours, asked) => Some(ours),
        Address::Tcp(_) | Address::Unix(_) | Address::Systemd(_) => None,
    });
    if let Some(ours) = ours {
        at.key("address").refuse(
            Wrong::new(
                &format!("{asked}, where api.metadata.listen is ({ours})"),
                "the platform's metadata server",
            )
            .fix("mwid would ask itself; leave the address out for the platform's own, or listen somewhere else"),
        );
    }
}

fn not_our_agent(at: &At, asked: &Endpoint, settings: &Settings) {
    let socket = settings.workload.socket.as_ref();
    let is_ours = match asked {
        Endpoint::Unix(asked) => socket.is_some_and(|ours| ours.path == *asked),
        Endpoint::Tcp(asked) => settings.workload.listen.iter().any(|ours| match ours {
            Address::Tcp(ours) => answers(*ours, *asked),
            Address::Unix(_) | Address::Systemd(_) => false,
        }),
    };
    if is_ours {
        at.key("socket").refuse(
            Wrong::new(
                &format!("{asked}, which is api.workload"),
                "the Workload API of another agent",
            )
            .fix("mwid would ask itself; name the other agent's socket, or move api.workload.socket"),
        );
    }
}

/// Whether who connects to `asked` meets who listens at `ours`. An unspecified address listens on this machine's own ones, of which we know
/// the loopback; a link-local one is the platform's.
fn answers(ours: SocketAddr, asked: SocketAddr) -> bool {
    let (listens, goes) = (ours.ip().to_canonical(), asked.ip().to_canonical());
    let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let is_met = listens == goes
        || (ours.ip().is_unspecified() && is_here(goes) && (ours.is_ipv6() || goes.is_ipv4()))
        // To connect to an unspecified address is to connect to the loopback.
        || (goes.is_unspecified() && listens.is_loopback() && listens.is_ipv4() == goes.is_ipv4());
    ours.port() == asked.port() && is_met
}
