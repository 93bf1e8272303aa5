//! `proxy`: what routes mean, and what is wrong with them.
use super::{parse, refused, right};
use crate::config::{AcceptProxy, Address, HttpTo, SendProxy, Side, Target};
use mtls_identity::SpiffeId;
use std::path::PathBuf;
use std::time::Duration;

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

#[test]
fn few_words_make_a_route_and_the_rest_has_defaults() {
    let settings = right(
        "runtime_dir: /r\n\
         proxy:\n\
         \x20 inbound:\n\
         \x20   - { name: in, listen: \"0.0.0.0:8443\", forward: \"unix:app.sock\", allow: [\"spiffe://a.test/x\", \"spiffe://b.test\", \"spiffe://c.test/*/y\"], deny: [\"spiffe://b.test/z\"] }\n\
         \x20 outbound:\n\
         \x20   - { name: out, listen: \"unix:out.sock\", mode: \"0600\", connect: \"Ledger.internal:8443\", expect: \"spiffe://a.test/x\" }\n",
    );
    let [inbound, outbound] = &settings.proxy.routes[..] else {
        panic!("{:?}", settings.proxy)
    };
    assert_eq!(inbound.side, Side::Inbound);
    assert_eq!(inbound.targets, [Target::Unix(PathBuf::from("/r/app.sock"))]);
    for (peer, allowed) in [
        ("spiffe://a.test/x", true),
        ("spiffe://a.test/y", false),
        ("spiffe://b.test/any/thing", true),
        ("spiffe://b.test/z", false),
        ("spiffe://c.test/x/y", true),
        ("spiffe://c.test/x/z", false),
    ] {
        assert_eq!(inbound.peers.decide(&id(peer)).is_ok(), allowed, "{peer}");
    }
    assert_eq!((inbound.max_connections, inbound.max_handshakes), (10_000, 256));
    assert!(!inbound.dry_run && !inbound.tls12 && !inbound.close_expired && inbound.alpn.is_empty());
    let ten = Duration::from_secs(10);
    assert_eq!((inbound.timeouts.handshake, inbound.timeouts.connect), (ten, ten));
    assert_eq!((inbound.timeouts.idle, inbound.timeouts.lifetime), (None, None));
    assert_eq!(inbound.timeouts.half_close, Some(Duration::from_secs(60)));
    assert_eq!(
        outbound.side,
        Side::Outbound {
            server_name: None,
            per_user: 7500
        }
    );
    assert_eq!(
        outbound.listen.address,
        Address::Unix(PathBuf::from("/r/out.sock"))
    );
    assert_eq!(outbound.listen.mode, 0o600);
    let target = Target::Name {
        host: "ledger.internal".to_owned(),
        port: 8443,
    };
    assert_eq!(outbound.targets, [target]);
    assert!(outbound.peers.decide(&id("spiffe://a.test/x")).is_ok());
    assert!(outbound.peers.decide(&id("spiffe://a.test/other")).is_err());
}

#[test]
fn a_route_has_one_target_or_a_list_of_them_each_once() {
    let out = |connect: &str| {
        format!(
            "proxy: {{ outbound: [{{ name: a, listen: \"127.0.0.1:1\", connect: {connect}, expect: \"spiffe://a.test/x\" }}] }}"
        )
    };
    let settings = right(&out("[\"10.0.0.1:2\", \"b.test:3\", \"[fd00::1]:4\"]"));
    assert_eq!(
        settings.proxy.routes[0].targets_text(),
        "10.0.0.1:2, b.test:3, [fd00::1]:4"
    );
    let many: Vec<String> = (1..=65).map(|port| format!("\"10.0.0.1:{port}\"")).collect();
    for (connect, wrong) in [
        (
            "[]".to_owned(),
            "1:64: proxy.outbound[0].connect: found 0 targets; wanted an address, or a list of 1 to 64",
        ),
        (
            format!("[{}]", many.join(", ")),
            "1:64: proxy.outbound[0].connect: found 65 targets; wanted an address, or a list of 1 to 64",
        ),
        (
            "[\"A.test:2\", \"a.test:2\"]".to_owned(),
            "1:77: proxy.outbound[0].connect[1]: found \"a.test:2\" a second time; wanted each target once; \
             remove it: connections go to the target that has the least, and there are no weights",
        ),
    ] {
        refused(&[(&out(&connect), &[wrong])]);
    }
}

#[test]
fn each_key_of_a_route_arrives() {
    let settings = right(
        "proxy: { inbound: [{ name: in, listen: \"[::]:8443\", forward: \"10.0.0.1:80\", unsafe_forward: true, unsafe_allow_all: true, dry_run: true, \
         alpn: [h2, http/1.1], send_proxy: v2_tls, accept_proxy: true, tls12: true, close_expired: true, max_connections: 7, max_handshakes: 3, \
         timeouts: { handshake: 1s, connect: 2s, idle: 3s, half_close: none, lifetime: 1h, unacknowledged: 5m } }], \
         outbound: [{ name: out, listen: \"127.0.0.1:1\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/**\", server_name: b.test, max_connections_per_user: 5 }] }",
    );
    let [inbound, outbound] = &settings.proxy.routes[..] else {
        panic!("{:?}", settings.proxy)
    };
    assert!(inbound.dry_run && inbound.tls12 && inbound.close_expired);
    assert_eq!(inbound.alpn, ["h2", "http/1.1"]);
    assert_eq!(
        (inbound.send_proxy, inbound.accept_proxy.clone()),
        (SendProxy::V2Tls, AcceptProxy::FromAnybody)
    );
    assert_eq!((inbound.max_connections, inbound.max_handshakes), (7, 3));
    assert_eq!(inbound.timeouts.half_close, None);
    assert_eq!(inbound.timeouts.lifetime, Some(Duration::from_secs(3600)));
    assert_eq!(inbound.timeouts.unacknowledged, Some(Duration::from_secs(300)));
    assert_eq!(outbound.timeouts.unacknowledged, None);
    assert!(inbound.peers.decide(&id("spiffe://any.test/x")).is_ok());
    assert_eq!(
        outbound.side,
        Side::Outbound {
            server_name: Some("b.test".to_owned()),
            per_user: 5
        }
    );
}

#[test]
fn a_route_takes_a_socket_of_systemds_and_no_two_take_one() {
    let listens = |more: &str| {
        let settings = right(&format!(
            "proxy: {{ outbound: [{{ name: out, listen: \"systemd:out\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\"{more} }}] }}"
        ));
        settings.proxy.routes[0].listen.clone()
    };
    assert_eq!(listens("").address, Address::Systemd("out".to_owned()));
    // What the socket is, is known when it is there.
    assert!(!listens("").unsafe_listen && listens(", unsafe_listen: true").unsafe_listen);
    refused(&[
        (
            "proxy: { inbound: [{ name: a, listen: \"systemd:x\", forward: \"127.0.0.1:2\", allow: [\"spiffe://a.test\"] },\n\
             { name: b, listen: \"systemd:x\", forward: \"127.0.0.1:2\", allow: [\"spiffe://a.test\"] }] }",
            &[
                "2:20: proxy.inbound[1].listen: found systemd:x, where proxy.inbound[0] is (systemd:x); wanted an address of its own; \
               each route listens somewhere else; change one of the two",
            ],
        ),
        (
            "proxy: { outbound: [{ name: a, listen: \"systemd:x\", mode: \"0600\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\" }] }",
            &[
                "1:59: proxy.outbound[0].mode: found a key of no use, since systemd makes the socket; wanted no such key; \
               say SocketMode=, SocketUser= and SocketGroup= in the socket unit",
            ],
        ),
    ]);
}

#[test]
fn http_has_a_short_form_its_own_protocols_and_no_proxy_header() {
    let route = |more: &str| {
        let settings = right(&format!(
            "proxy: {{ inbound: [{{ name: in, listen: \"[::]:1\", forward: \"127.0.0.1:2\", allow: [\"spiffe://a.test\"]{more} }}] }}"
        ));
        let route = &settings.proxy.routes[0];
        (route.http, route.alpn.clone())
    };
    let both = || vec!["h2".to_owned(), "http/1.1".to_owned()];
    assert_eq!(route(""), (None, vec![]));
    assert_eq!(route(", http: false"), (None, vec![]));
    assert_eq!(route(", http: true"), (Some(HttpTo::Auto), both()));
    assert_eq!(route(", http: { to: auto }"), (Some(HttpTo::Auto), both()));
    assert_eq!(route(", http: { to: h2c }"), (Some(HttpTo::H2c), both()));
    let one = vec!["http/1.1".to_owned()];
    assert_eq!(
        route(", http: { to: h1 }, alpn: [http/1.1]"),
        (Some(HttpTo::Http1), one)
    );
    refused(&[(
        "proxy: { inbound: [{ name: a, listen: \"[::]:1\", forward: \"127.0.0.1:2\", allow: [\"spiffe://a.test\"],\n http: true, send_proxy: v2,\n alpn: [h3] }] }",
        &[
            "2:26: proxy.inbound[0].send_proxy: found a key of no use beside `http`; wanted no such key; \
               an HTTP application reads the peer from X-Forwarded-Client-Cert, and connections to it carry requests, not a peer's connection; remove one of the two",
            "3:9: proxy.inbound[0].alpn[0]: found \"h3\"; wanted h2 or http/1.1, which an HTTP route speaks; remove it, or `http`",
        ],
    )]);
}

#[test]
fn one_user_has_no_more_connections_than_there_are_and_by_itself_not_all() {
    let out = |more: &str| {
        format!(
            "proxy: {{ outbound: [{{ name: a, listen: \"127.0.0.1:1\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\", {more} }}] }}"
        )
    };
    for (more, wanted) in [
        ("max_connections: 1", 1),
        ("max_connections: 2", 1),
        ("max_connections: 8", 6),
        ("max_connections: 8, max_connections_per_user: 8", 8),
    ] {
        let settings = right(&out(more));
        let Side::Outbound { per_user, .. } = settings.proxy.routes[0].side else {
            panic!()
        };
        assert_eq!(per_user, wanted, "{more}");
    }
    refused(&[(
        &out("max_connections: 8, max_connections_per_user: 9"),
        &[
            "1:153: proxy.outbound[0].max_connections_per_user: found the number 9; wanted at most max_connections, which is 8; \
           one user cannot have more than there are",
        ],
    )]);
}

#[test]
fn the_load_balancers_that_are_believed_are_named_by_their_networks() {
    let route = |listen: &str, accept: &str| {
        format!(
            "proxy: {{ inbound: [{{ name: a, listen: \"{listen}\", forward: \"127.0.0.1:2\", allow: [\"spiffe://a.test\"],\n accept_proxy: {accept} }}] }}"
        )
    };
    let settings = right(&route(
        "[::]:1",
        "{ from: [\"35.191.0.0/16\", \"fd00::/8\", \"10.0.0.7\"] }",
    ));
    let AcceptProxy::From(networks) = &settings.proxy.routes[0].accept_proxy else {
        panic!()
    };
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["35.191.0.0/16", "fd00::/8", "10.0.0.7/32"]);
    assert_eq!(
        right(&route("[::]:1", "false")).proxy.routes[0].accept_proxy,
        AcceptProxy::No
    );
    refused(&[
        (
            &route("[::]:1", "{ from: [\"10.0.0.1/8\", lb.internal] }"),
            &[
                "2:25: proxy.inbound[0].accept_proxy.from[0]: found \"10.0.0.1/8\"; wanted a network or an address, such as 10.0.0.0/8 or fd00::/8; \
                 write 10.0.0.0/8, or the address alone",
                "2:39: proxy.inbound[0].accept_proxy.from[1]: found \"lb.internal\"; wanted a network or an address, such as 10.0.0.0/8 or fd00::/8",
            ],
        ),
        (
            &route("[::]:1", "{ from: [] }"),
            &[
                "2:24: proxy.inbound[0].accept_proxy.from: found 0 networks; wanted 1 to 64 of them, such as [\"35.191.0.0/16\", \"130.211.0.0/22\"]; \
               name the load balancers' addresses; accept_proxy: true believes whoever connects",
            ],
        ),
        (
            &route("unix:/run/a.sock", "{ from: [\"10.0.0.0/8\"] }"),
            &[
                "2:24: proxy.inbound[0].accept_proxy.from: found a key of no use, since `listen` is a Unix socket; wanted no such key; \
               who connects there has no address: say accept_proxy: true, and let the directory's mode keep others out",
            ],
        ),
    ]);
}

#[test]
fn what_is_missing_or_unsafe_is_told() {
    refused(&[
        (
            "proxy: { inbound: [{ name: a, listen: \"0.0.0.0:1\", forward: \"127.0.0.1:2\" }] }",
            &[
                "1:20: proxy.inbound[0].allow: found no rule; wanted at least one SPIFFE ID, pattern or trust domain; \
               say whom to let in, such as [\"spiffe://example.org/ns/shop/sa/*\"]; for everybody whom a trust bundle vouches for, unsafe_allow_all: true",
            ],
        ),
        (
            "proxy: { inbound: [{ name: a, listen: \"0.0.0.0:1\", forward: \"10.0.0.1:2\", allow: [\"spiffe://a.test\"] }] }",
            &[
                "1:61: proxy.inbound[0].forward: found 10.0.0.1:2, which is not loopback; \
               wanted a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext; use one, or say unsafe_forward: true beside it",
            ],
        ),
        (
            "proxy: { inbound: [{ name: a, listen: \"0.0.0.0:1\", forward: \"localhost:2\", allow: [\"spiffe://a.test\"] }] }",
            &["1:61: proxy.inbound[0].forward: found the name \"localhost\"; \
               wanted a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext; \
               write \"127.0.0.1:2\" if it is this machine, or say unsafe_forward: true beside it"],
        ),
        (
            "proxy: { outbound: [{ name: a, listen: \"0.0.0.0:1\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\" }] }",
            &[
                "1:40: proxy.outbound[0].listen: found 0.0.0.0:1, which is not loopback; \
               wanted a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext; use one, or say unsafe_listen: true beside it",
            ],
        ),
        (
            "proxy: { outbound: [{ name: a, listen: \"127.0.0.1:1\", connect: \"10.0.0.1:2\" }] }",
            &[
                "1:21: proxy.outbound[0]: found a route without `expect`; wanted the SPIFFE ID of who must be there, or a pattern",
            ],
        ),
        (
            "proxy: { outbound: [{}] }",
            &[
                "1:21: proxy.outbound[0]: found a route without `name`; wanted a name, such as payments",
                "1:21: proxy.outbound[0]: found a route without `listen`; wanted an address: IP:PORT, unix:PATH or systemd:NAME",
                "1:21: proxy.outbound[0]: found a route without `connect`; wanted where to, such as \"ledger.internal:8443\"",
                "1:21: proxy.outbound[0]: found a route without `expect`; wanted the SPIFFE ID of who must be there, or a pattern",
            ],
        ),
    ]);
}

#[test]
fn the_conditions_of_a_rule_all_hold_and_one_rule_is_enough() {
    let settings = right(
        "proxy:\n\
         \x20 inbound:\n\
         \x20   - name: in\n\
         \x20     listen: \"0.0.0.0:8443\"\n\
         \x20     forward: \"127.0.0.1:1\"\n\
         \x20     allow:\n\
         \x20       - \"spiffe://a.test/ops\"\n\
         \x20       - { trust_domain: [a.test, \"spiffe://b.test\"], path: [/ns/*/sa/web, /ns/*/sa/api], not: [\"spiffe://b.test/ns/old/**\", /ns/test/**] }\n\
         \x20       - { id: \"spiffe://c.test/**\", not: \"spiffe://c.test/guest\" }\n\
         \x20       - { trust_domain: d.test }\n\
         \x20     deny: [{ path: /bad/** }, { path: /odd, not: \"spiffe://a.test\" }]\n\
         \x20 outbound:\n\
         \x20   - { name: out, listen: \"127.0.0.1:2\", connect: \"10.0.0.1:1\", expect: { trust_domain: a.test, path: /ns/*/sa/db } }\n",
    );
    let [inbound, outbound] = &settings.proxy.routes[..] else {
        panic!("{:?}", settings.proxy)
    };
    for (peer, allowed) in [
        ("spiffe://a.test/ops", true),
        ("spiffe://b.test/ops", false),
        ("spiffe://a.test/ns/shop/sa/web", true),
        ("spiffe://b.test/ns/shop/sa/api", true),
        ("spiffe://b.test/ns/shop/sa/db", false),
        ("spiffe://a.test/ns/old/sa/web", true),
        ("spiffe://b.test/ns/old/sa/web", false),
        ("spiffe://a.test/ns/test/sa/web", false),
        ("spiffe://c.test/ns/test/sa/web", true),
        ("spiffe://c.test/guest", false),
        ("spiffe://d.test/any/thing", true),
        ("spiffe://d.test/bad/thing", false),
        ("spiffe://d.test/odd", false),
    ] {
        assert_eq!(inbound.peers.decide(&id(peer)).is_ok(), allowed, "{peer}");
    }
    for (peer, allowed) in [
        ("spiffe://a.test/ns/x/sa/db", true),
        ("spiffe://b.test/ns/x/sa/db", false),
    ] {
        assert_eq!(outbound.peers.decide(&id(peer)).is_ok(), allowed, "{peer}");
    }
}

#[test]
fn a_wrong_condition_is_told_by_its_key() {
    let route = |rule: &str| {
        format!(
            "proxy: {{ inbound: [{{ name: a, listen: \"[::]:1\", forward: \"127.0.0.1:2\",\n allow: [{rule}] }}] }}"
        )
    };
    refused(&[
        (
            &route("{ not: /a/** }"),
            &[
                "2:10: proxy.inbound[0].allow[0]: found a rule that means nobody; wanted `id`, or `trust_domain`, `path` or both; \
               say whom it means, such as { trust_domain: example.org, path: /ns/shop/** }; `not` only takes from them",
            ],
        ),
        (
            &route("{ path: /a/** }"),
            &[
                "2:10: proxy.inbound[0].allow[0]: found `path` without `trust_domain`; wanted the trust domains in which the path is meant; \
               each trust domain gives out its own paths; add trust_domain: example.org, or a list of them",
            ],
        ),
        (
            &route("{ id: \"spiffe://a.test/x\", path: /a/** }"),
            &[
                "2:43: proxy.inbound[0].allow[0].path: found a key of no use beside `id`; wanted no such key; \
               an ID or a pattern says its trust domain and its path already; remove one of the two",
            ],
        ),
        (
            &route("{ trust_domain: [a.test, \"*.test\"], path: a/b, not: [a.test] }"),
            &[
                "2:35: proxy.inbound[0].allow[0].trust_domain[1]: found \"*.test\"; wanted the name of a trust domain, such as example.org; \
                 '*' at byte 0 is not allowed in a trust domain; use lower-case letters, digits, '.', '-' and '_'",
                "2:52: proxy.inbound[0].allow[0].path: found \"a/b\"; wanted the path of SPIFFE IDs (`*` one segment, `**` the rest), such as /ns/shop/sa/*; \
                 a path begins with /, as in /ns/shop/sa/*",
                "2:63: proxy.inbound[0].allow[0].not[0]: found \"a.test\"; wanted a SPIFFE ID, a pattern, a trust domain such as spiffe://example.org, \
                 or a path such as /ns/test/**; a SPIFFE ID begins with spiffe:// in lower case, found \"a.test\"",
            ],
        ),
        (
            &route("{ trust_domain: [] }"),
            &[
                "2:26: proxy.inbound[0].allow[0].trust_domain: found 0 of them; wanted one, or a list of 1 to 64",
            ],
        ),
    ]);
}

#[test]
fn routes_are_apart_by_name_and_by_address() {
    let out = |name: &str, listen: &str| {
        format!(
            "{{ name: {name}, listen: \"{listen}\", connect: \"10.0.0.1:2\", expect: \"spiffe://a.test/x\" }}"
        )
    };
    refused(&[
        (
            &format!(
                "proxy: {{ outbound: [{}, {}] }}",
                out("a", "127.0.0.1:1"),
                out("a", "127.0.0.1:3")
            ),
            &[
                "1:117: proxy.outbound[1].name: found \"a\" a second time; wanted a name of its own; \
               logs, metrics and access rules tell routes by their names; choose another",
            ],
        ),
        (
            &format!(
                "proxy: {{ outbound: [{}, {}] }}",
                out("a", "127.0.0.1:1"),
                out("b", "127.0.0.1:1")
            ),
            &[
                "1:128: proxy.outbound[1].listen: found 127.0.0.1:1, where proxy.outbound[0] is (127.0.0.1:1); wanted an address of its own; \
               each route listens somewhere else; change one of the two",
            ],
        ),
        (
            &format!("proxy: {{ outbound: [{}] }}", out("a", "127.0.0.1:8174")),
            &[
                "1:40: proxy.outbound[0].listen: found 127.0.0.1:8174, where api.metadata is (127.0.0.1:8174); wanted an address of its own; \
               each route listens somewhere else; change one of the two",
            ],
        ),
        (
            &format!("proxy: {{ outbound: [{}] }}", out("a", "unix:workload.sock")),
            &[
                "1:40: proxy.outbound[0].listen: found unix:/run/mwid/workload.sock, where api.workload is (unix:/run/mwid/workload.sock); \
               wanted an address of its own; each route listens somewhere else; change one of the two",
            ],
        ),
        (
            &format!(
                "proxy: {{ outbound: [{}] }}\naccess: [{{ who: everyone, may: {{ routes: [a, b] }} }}]",
                out("a", "127.0.0.1:1")
            ),
            &[
                "2:42: access[0].may.routes: found \"b\", which no route has; wanted the names of routes under proxy.outbound",
            ],
        ),
    ]);
}

#[test]
fn the_example_is_right() {
    let settings = right(include_str!("../../../../../examples/proxy.yaml"));
    assert_eq!(settings.proxy.routes.len(), 2);
}

/// There mwid itself would be the caller, on behalf of whoever comes from the network.
#[test]
fn no_route_leads_to_an_api_of_ours() {
    for (forward, api) in [
        ("unix:admin.sock", "admin"),
        ("unix:metadata.sock", "metadata"),
        ("unix:workload.sock", "workload"),
        ("unix:credential.sock", "credential"),
        ("127.0.0.1:8174", "metadata"),
        ("[::1]:8174", "metadata"),
        ("localhost:8174", "metadata"),
        ("[::ffff:127.0.0.1]:8174", "metadata"),
    ] {
        let text = format!(
            "proxy: {{ inbound: [{{ name: a, listen: \"0.0.0.0:1\", forward: \"{forward}\", unsafe_forward: true, allow: [\"spiffe://a.test\"] }}] }}"
        );
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("proxy.inbound[0].forward: found")
                && error.contains(&format!("where api.{api} is (")),
            "{forward}: {error}"
        );
    }
    right(
        "proxy: { inbound: [{ name: a, listen: \"0.0.0.0:1\", forward: \"unix:app.sock\", allow: [\"spiffe://a.test\"] }] }",
    );
}

fn inbound(listen: &str, forward: &str) -> String {
    format!(
        "{{ name: in, listen: \"{listen}\", forward: {forward}, unsafe_forward: true, allow: [\"spiffe://a.test\"] }}"
    )
}

fn out(name: &str, listen: &str, connect: &str) -> String {
    format!(
        "{{ name: {name}, listen: \"{listen}\", unsafe_listen: true, connect: {connect}, expect: \"spiffe://a.test/x\" }}"
    )
}

/// There, too, mwid itself would be the caller; and a ring of routes has no end.
#[test]
fn no_route_leads_to_an_outbound_one() {
    for (listen, target) in [
        ("127.0.0.1:2", "127.0.0.1:2"),
        ("127.0.0.1:2", "[::ffff:127.0.0.1]:2"),
        ("127.0.0.1:2", "localhost:2"),
        ("[::1]:2", "Localhost:2"),
        ("[::]:2", "a.localhost:2"),
        ("0.0.0.0:2", "127.0.0.7:2"),
        ("[::]:2", "127.0.0.1:2"),
        ("unix:out.sock", "unix:/run/mwid/out.sock"),
    ] {
        let target = format!("\"{target}\"");
        let to_itself = format!("proxy: {{ outbound: [{}] }}", out("a", listen, &target));
        let past_the_rules = format!(
            "proxy: {{ inbound: [{}], outbound: [{}] }}",
            inbound("0.0.0.0:1", &target),
            out("a", listen, "\"10.0.0.1:9\"")
        );
        for (text, key) in [
            (to_itself, "outbound[0].connect"),
            (past_the_rules, "inbound[0].forward"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("proxy.{key}: found"))
                    && error.contains("where proxy.outbound[0] is ("),
                "{key} {listen} {target}: {error}"
            );
        }
    }
}

#[test]
fn what_leads_to_an_outbound_route_is_told_by_its_key() {
    let ring = format!(
        "proxy: {{ outbound: [{},\n {}] }}",
        out("a", "127.0.0.1:2", "\"127.0.0.1:3\""),
        out("b", "127.0.0.1:3", "[\"10.0.0.1:9\", \"127.0.0.1:2\"]"),
    );
    let fix = "wanted the address of a server; mwid itself would be the caller there, past the access rules, and connections might go round; \
               name the server in `connect`, or listen somewhere else";
    refused(&[
        (
            &ring,
            &[
                &format!(
                    "1:85: proxy.outbound[0].connect: found 127.0.0.1:3, where proxy.outbound[1] is (127.0.0.1:3); {fix}"
                ),
                &format!(
                    "2:81: proxy.outbound[1].connect[1]: found 127.0.0.1:2, where proxy.outbound[0] is (127.0.0.1:2); {fix}"
                ),
            ],
        ),
        (
            &format!(
                "proxy: {{ inbound: [{}],\n outbound: [{}] }}",
                inbound("0.0.0.0:1", "\"127.0.0.1:2\""),
                out("a", "127.0.0.1:2", "\"10.0.0.1:9\"")
            ),
            &[
                "1:62: proxy.inbound[0].forward: found 127.0.0.1:2, where proxy.outbound[0] is (127.0.0.1:2); wanted an application's address; \
               a peer from the network would use that route as mwid's own user; no route leads to an outbound one",
            ],
        ),
    ]);
    // An inbound route asks who comes; a name, and what systemd listens at, is not known here.
    right(&format!(
        "proxy: {{ inbound: [{}], outbound: [{}, {}] }}",
        inbound("127.0.0.1:1", "\"127.0.0.1:80\""),
        out(
            "a",
            "127.0.0.1:2",
            "[\"127.0.0.1:1\", \"127.0.0.1:4\", \"ledger.test:2\"]"
        ),
        out("b", "systemd:b", "\"localhost:1\""),
    ));
}
