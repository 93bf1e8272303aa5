//! `proxy`: the routes. In: as written. Out: typed, each with a name of its own. No name is looked up.
use super::balancers;
use super::bounds::{self, bounds};
use super::peers::{self, Sense};
use super::place::At;
use super::targets;
use super::values::{self, quoted};
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{
    AcceptProxy, Address, HttpTo, ListenSettings, ProxySettings, RouteSettings, SendProxy, Side,
};
use mtls_identity::{PeerPolicy, peer::PeerRule};
use std::path::Path;

const MOST_ROUTES: usize = 256;
const MOST_PROTOCOLS: usize = 16;
/// Of the Unix socket that an outbound route listens on: its callers are attested.
const SOCKET_MODE: u32 = 0o666;

const SEND_PROXY: [(&str, SendProxy); 3] = [
    ("none", SendProxy::None),
    ("v2", SendProxy::V2),
    ("v2_tls", SendProxy::V2Tls),
];

const HTTP_TO: [(&str, HttpTo); 3] = [
    ("auto", HttpTo::Auto),
    ("h1", HttpTo::Http1),
    ("h2c", HttpTo::H2c),
];
/// What an HTTP route speaks, best first.
const HTTP_PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

pub(super) fn settle(at: &At, raw: raw::Proxy, runtime_dir: &Path) -> ProxySettings {
    let inbound = list(&at.key("inbound"), raw.inbound, |at, raw| {
        inbound(at, raw, runtime_dir)
    });
    let outbound = list(&at.key("outbound"), raw.outbound, |at, raw| {
        outbound(at, raw, runtime_dir)
    });
    let mut routes: Vec<RouteSettings> = Vec::new();
    for (at, route) in inbound.into_iter().chain(outbound) {
        let Some(route) = route else { continue };
        if routes.iter().any(|other| other.name == route.name) {
            at.key("name").refuse(
                Wrong::new(
                    &format!("{} a second time", quoted(&route.name)),
                    "a name of its own",
                )
                .fix("logs, metrics and access rules tell routes by their names; choose another"),
            );
        }
        routes.push(route);
    }
    ProxySettings { routes }
}

fn list<T>(
    at: &At,
    raw: Option<Vec<T>>,
    settle: impl Fn(&At, T) -> Option<RouteSettings>,
) -> Vec<(At, Option<RouteSettings>)> {
    let raw = raw.unwrap_or_default();
    if raw.len() > MOST_ROUTES {
        at.refuse(Wrong::new(
            &format!("{} routes", raw.len()),
            format!("at most {MOST_ROUTES}"),
        ));
        return Vec::new();
    }
    let settled = raw.into_iter().enumerate().map(|(index, raw)| {
        let at = at.item(index);
        let route = settle(&at, raw);
        (at, route)
    });
    settled.collect()
}

fn inbound(at: &At, raw: raw::Inbound, runtime_dir: &Path) -> Option<RouteSettings> {
    let name = name(at, raw.name);
    let address = listen(at, raw.listen, runtime_dir);
    let forward = needed(at, "forward", raw.forward, "where to, such as \"127.0.0.1:8080\"");
    let unsafe_forward = raw.unsafe_forward == Some(true);
    let forward = targets::settle(at, "forward", forward, |text| {
        targets::near(text, runtime_dir, unsafe_forward)
    });
    let bounds = bounds(at, (raw.max_connections, raw.max_handshakes, raw.timeouts));
    let http = http(at, raw.http);
    let alpn = inbound_alpn(&at.key("alpn"), raw.alpn, http.is_some());
    let send_proxy = raw.send_proxy.map(|text| values::word(&text.0, &SEND_PROXY));
    let send_proxy = at.take("send_proxy", send_proxy, SendProxy::None);
    if http.is_some() && send_proxy != SendProxy::None {
        at.key("send_proxy").refuse(
            Wrong::new("a key of no use beside `http`", "no such key")
                .fix("an HTTP application reads the peer from X-Forwarded-Client-Cert, and connections to it carry requests, not a peer's connection; remove one of the two"),
        );
    }
    let names_somebody = raw.allow.as_ref().is_some_and(|allow| !allow.is_empty());
    let allow = peers::list(&at.key("allow"), raw.allow, Sense::LetIn);
    let deny = peers::list(&at.key("deny"), raw.deny, Sense::KeepOut);
    let mut policy = PeerPolicy::nobody();
    policy = allow.into_iter().fold(policy, PeerPolicy::allow);
    policy = deny.into_iter().fold(policy, PeerPolicy::deny);
    match (!names_somebody, raw.unsafe_allow_all == Some(true)) {
        (true, true) => policy = policy.allow(PeerRule::Anyone),
        (true, false) => at.key("allow").refuse(
            Wrong::new("no rule", "at least one SPIFFE ID, pattern or trust domain")
                .fix("say whom to let in, such as [\"spiffe://example.org/ns/shop/sa/*\"]; for everybody whom a trust bundle vouches for, unsafe_allow_all: true"),
        ),
        (false, true) => at.key("unsafe_allow_all").refuse(
            Wrong::new("a key of no use, since `allow` names somebody", "no such key").fix("remove one of the two"),
        ),
        (false, false) => {}
    }
    let accept_proxy = balancers::settle(at, raw.accept_proxy, address.as_ref());
    Some(RouteSettings {
        side: Side::Inbound,
        // The other end is not a local process: the socket's mode is all that stands before a Unix one.
        listen: ListenSettings {
            address: address?,
            mode: SOCKET_MODE,
            owner: None,
            group: None,
            unsafe_listen: true,
        },
        targets: forward?,
        peers: policy,
        dry_run: raw.dry_run == Some(true),
        send_proxy,
        accept_proxy,
        http,
        alpn,
        tls12: raw.tls12 == Some(true),
        close_expired: raw.close_expired == Some(true),
        max_connections: bounds.connections,
        max_handshakes: bounds.handshakes,
        timeouts: bounds.timeouts,
        name: name?,
    })
}

fn outbound(at: &At, raw: raw::Outbound, runtime_dir: &Path) -> Option<RouteSettings> {
    let name = name(at, raw.name);
    let unsafe_listen = raw.unsafe_listen == Some(true);
    let address = listen(at, raw.listen, runtime_dir)
        .and_then(|address| at.maybe("listen", Some(near(address, "listen", unsafe_listen))));
    let (mode, owner, group) = socket(at, (raw.mode, raw.owner, raw.group), address.as_ref());
    let bounds = bounds(at, (raw.max_connections, raw.max_handshakes, raw.timeouts));
    let per_user = bounds::per_user(at, raw.max_connections_per_user, bounds.connections);
    let alpn = alpn(&at.key("alpn"), raw.alpn);
    let server_name = raw.server_name.map(|text| values::host_name(&text.0));
    let server_name = at.maybe("server_name", server_name);
    let connect = needed(
        at,
        "connect",
        raw.connect,
        "where to, such as \"ledger.internal:8443\"",
    );
    let connect = targets::settle(at, "connect", connect, |text| values::target(text, runtime_dir));
    let expect = needed(
        at,
        "expect",
        raw.expect,
        "the SPIFFE ID of who must be there, or a pattern",
    );
    let expect = expect.and_then(|raw| peers::one(&at.key("expect"), raw, Sense::LetIn));
    Some(RouteSettings {
        side: Side::Outbound {
            server_name,
            per_user,
        },
        listen: ListenSettings {
            // Judged already where the address is in the file: there it changes nothing.
            unsafe_listen: unsafe_listen && matches!(address, Some(Address::Systemd(_))),
            address: address?,
            mode,
            owner,
            group,
        },
        targets: connect?,
        peers: PeerPolicy::nobody().allow(expect?),
        dry_run: false,
        send_proxy: SendProxy::None,
        accept_proxy: AcceptProxy::No,
        http: None,
        alpn,
        tls12: raw.tls12 == Some(true),
        close_expired: raw.close_expired == Some(true),
        max_connections: bounds.connections,
        max_handshakes: bounds.handshakes,
        timeouts: bounds.timeouts,
        name: name?,
    })
}

/// Of a Unix socket; keys that have no use elsewhere.
fn socket(
    at: &At,
    (mode, owner, group): (
        Option<raw::ModeText>,
        Option<raw::NameText>,
        Option<raw::NameText>,
    ),
    address: Option<&Address>,
) -> (u32, Option<String>, Option<String>) {
    let keys = [
        ("mode", mode.is_some()),
        ("owner", owner.is_some()),
        ("group", group.is_some()),
    ];
    for (key, given) in keys {
        let (why, fix) = match address {
            Some(Address::Tcp(_)) => ("a key of no use, since `listen` is no Unix socket", "remove it"),
            Some(Address::Systemd(_)) => (
                "a key of no use, since systemd makes the socket",
                "say SocketMode=, SocketUser= and SocketGroup= in the socket unit",
            ),
            Some(Address::Unix(_)) | None => continue,
        };
        if given {
            at.key(key).refuse(Wrong::new(why, "no such key").fix(fix));
        }
    }
    let mode = mode.map(|text| values::mode(&text.0, 0o666, "0660"));
    (
        at.take("mode", mode, SOCKET_MODE),
        at.maybe("owner", owner.map(|text| values::name(&text.0))),
        at.maybe("group", group.map(|text| values::name(&text.0))),
    )
}

fn needed<T>(at: &At, key: &str, raw: Option<T>, wanted: &'static str) -> Option<T> {
    if raw.is_none() {
        at.refuse(Wrong::new(&format!("a route without `{key}`"), wanted));
    }
    raw
}

/// A label of metrics, and a word in logs and access rules.
fn name(at: &At, raw: Option<raw::Text>) -> Option<String> {
    let text = needed(at, "name", raw, "a name, such as payments")?;
    at.maybe("name", Some(values::route_name(&text.0)))
}

fn listen(at: &At, raw: Option<raw::Address>, runtime_dir: &Path) -> Option<Address> {
    let wanted = "an address: IP:PORT, unix:PATH or systemd:NAME";
    let text = needed(at, "listen", raw, wanted)?;
    at.maybe("listen", Some(values::address(&text.0, runtime_dir)))
}

/// Plaintext leaves this machine only when the file says so.
pub(super) fn near(address: Address, key: &str, unsafe_said: bool) -> Result<Address, Wrong> {
    match address {
        Address::Tcp(tcp) if !tcp.ip().to_canonical().is_loopback() && !unsafe_said => Err(Wrong::new(
            &format!("{tcp}, which is not loopback"),
            "a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext",
        )
        .fix(format!("use one, or say unsafe_{key}: true beside it"))),
        near => Ok(near),
    }
}

fn alpn(at: &At, raw: Option<Vec<raw::Text>>) -> Vec<String> {
    let texts = raw.unwrap_or_default();
    if texts.len() > MOST_PROTOCOLS {
        at.refuse(Wrong::new(
            &format!("{} protocols", texts.len()),
            format!("at most {MOST_PROTOCOLS}"),
        ));
        return Vec::new();
    }
    let mut protocols = Vec::new();
    for (index, text) in texts.into_iter().enumerate() {
        // RFC 7301, 3.1: an opaque string of 1 to 255 bytes; those in use are printable (IANA).
        let fits = (1..=255).contains(&text.0.len()) && text.0.bytes().all(|b| b.is_ascii_graphic());
        if fits && !protocols.contains(&text.0) {
            protocols.push(text.0);
        } else {
            at.item(index).refuse(Wrong::new(
                &quoted(&text.0),
                "the name of a protocol, such as h2 or http/1.1, each once",
            ));
        }
    }
    protocols
}

/// How requests are forwarded; none: bytes are.
fn http(at: &At, raw: Option<raw::Http>) -> Option<HttpTo> {
    match raw? {
        raw::Http::Word(word) => word.then_some(HttpTo::Auto),
        raw::Http::Keys(keys) => {
            let to = keys.to.map(|text| values::word(&text.0, &HTTP_TO));
            Some(at.key("http").take("to", to, HttpTo::Auto))
        }
    }
}

fn inbound_alpn(at: &At, raw: Option<Vec<raw::Text>>, http: bool) -> Vec<String> {
    if http && raw.is_none() {
        return HTTP_PROTOCOLS.map(str::to_owned).to_vec();
    }
    let protocols = alpn(at, raw);
    for (index, protocol) in protocols.iter().enumerate() {
        if http && !HTTP_PROTOCOLS.contains(&&**protocol) {
            at.item(index).refuse(
                Wrong::new(&quoted(protocol), "h2 or http/1.1, which an HTTP route speaks")
                    .fix("remove it, or `http`"),
            );
        }
    }
    protocols
}
