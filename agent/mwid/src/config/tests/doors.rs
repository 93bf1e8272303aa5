//! `api.metadata`, and that no two APIs are at one address.
use super::{refused, right};
use crate::config::{Address, Settings, SocketSettings};
use std::path::Path;

#[test]
fn without_a_word_the_metadata_api_is_on_loopback_and_in_the_runtime_directory() {
    for settings in [
        Settings::default(),
        right("api: { metadata: {} }"),
        right("api: { admin: { mode: \"0600\" } }"),
    ] {
        assert_eq!(
            settings.metadata.listen,
            ["127.0.0.1:8174", "[::1]:8174"].map(|a| Address::Tcp(a.parse().unwrap()))
        );
        assert!(settings.metadata.listen_by_default);
        let socket = settings.metadata.socket.unwrap();
        assert_eq!(
            (socket.path.as_path(), socket.mode, socket.owner, socket.group),
            (Path::new("/run/mwid/metadata.sock"), 0o666, None, None)
        );
    }
    assert_eq!(Settings::default().admin.listen, []);
}

#[test]
fn every_key_of_the_metadata_api_arrives() {
    let settings = right(
        "runtime_dir: /srv/mwid\napi:\n  metadata: { socket: m.sock, mode: \"0660\", owner: 7, group: tokens, \
         listen: [\"0.0.0.0:80\", \"systemd:metadata\"], unsafe_listen: true }\n",
    );
    assert_eq!(
        settings.metadata.socket,
        Some(SocketSettings {
            path: "/srv/mwid/m.sock".into(),
            mode: 0o660,
            owner: Some("7".to_owned()),
            group: Some("tokens".to_owned()),
        })
    );
    assert_eq!(
        settings.metadata.listen,
        [
            Address::Tcp("0.0.0.0:80".parse().unwrap()),
            Address::Systemd("metadata".to_owned())
        ]
    );
    assert!(!settings.metadata.listen_by_default);
    let off = right("api: { metadata: { listen: off, socket: off } }").metadata;
    assert_eq!(
        (off.socket, off.listen, off.listen_by_default),
        (None, vec![], false)
    );
    let named = right("api: { metadata: { listen: \"127.0.0.1:8174\" } }").metadata;
    assert!(!named.listen_by_default, "who names an address wants it");
}

#[test]
fn the_metadata_api_is_judged_like_the_others() {
    refused(&[(
        "api:\n  metadata:\n    mode: \"0777\"\n    owner: \"a:b\"\n    listen: [\"10.0.0.1:80\"]\n    \
         unsafe_listen: false\n",
        &[
            "3:11: api.metadata.mode: found \"0777\"; wanted a file mode in octal, such as \"0666\"; \
             leave out the bits 0111; allowed are those of 0666",
            "4:12: api.metadata.owner: found \"a:b\"; wanted the name or the number of a user or group",
            "5:14: api.metadata.listen[0]: found \"10.0.0.1:80\", which is not loopback; \
             wanted a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext; \
             listen there and put TLS before it, or say unsafe_listen: true beside it",
        ],
    )]);
    refused(&[(
        "api: { metadata: { socket: off, group: a } }",
        &[
            "1:40: api.metadata.group: found a key of no use, since `socket` is off; wanted no such key; remove it",
        ],
    )]);
    refused(&[(
        "publish: [{ directory: /srv/a }]\napi: { metadata: { socket: /srv/a/m.sock } }\n",
        &[
            "1:24: publish[0].directory: found /srv/a, which is, holds or lies in the metadata socket (/srv/a/m.sock); \
             wanted a directory of its own; a published directory is replaced as a whole; choose another",
        ],
    )]);
}

#[test]
fn the_credential_socket_is_of_root_and_never_on_tcp() {
    for settings in [Settings::default(), right("api: { credential: {} }")] {
        let socket = settings.credential.socket.unwrap();
        assert_eq!(
            (socket.path.as_path(), socket.mode, socket.owner, socket.group),
            (Path::new("/run/mwid/credential.sock"), 0o600, None, None)
        );
        assert_eq!(settings.credential.listen, []);
    }
    assert_eq!(
        right("api: { credential: { socket: off } }").credential.socket,
        None
    );
    let passed = right("api: { credential: { socket: off, listen: \"systemd:credential\" } }");
    assert_eq!(
        passed.credential.listen,
        [Address::Systemd("credential".to_owned())]
    );
    refused(&[(
        "api: { credential: { listen: \"127.0.0.1:9\" } }",
        &[
            "1:30: api.credential.listen: found 127.0.0.1:9; wanted unix:PATH or systemd:NAME; \
             systemd fetches credentials from Unix sockets alone",
        ],
    )]);
}

#[test]
fn two_apis_are_never_at_one_address() {
    let fix =
        "wanted an address of its own; each API listens somewhere else; change one of the two, or say off";
    refused(&[
        (
            "api:\n  admin: { socket: a.sock, listen: \"127.0.0.1:9\" }\n  metadata: { socket: ./a.sock, listen: [\"127.0.0.1:9\"] }\n",
            &[
                &format!(
                    "3:23: api.metadata.socket: found unix:/run/mwid/a.sock, where api.admin.socket is (unix:/run/mwid/a.sock); {fix}"
                ),
                &format!(
                    "3:42: api.metadata.listen[0]: found 127.0.0.1:9, where api.admin.listen is (127.0.0.1:9); {fix}"
                ),
            ],
        ),
        // Told where the file has a word, not at a default.
        (
            "api: { admin: { socket: metadata.sock, listen: [\"[::1]:8174\"] } }",
            &[
                &format!(
                    "1:25: api.admin.socket: found unix:/run/mwid/metadata.sock, where api.metadata.socket is (unix:/run/mwid/metadata.sock); {fix}"
                ),
                &format!(
                    "1:49: api.admin.listen[0]: found [::1]:8174, where api.metadata.listen[1] is ([::1]:8174); {fix}"
                ),
            ],
        ),
        (
            "api: { admin: { listen: \"unix:admin.sock\" } }",
            &[&format!(
                "1:25: api.admin.listen: found unix:/run/mwid/admin.sock, where api.admin.socket is (unix:/run/mwid/admin.sock); {fix}"
            )],
        ),
        (
            "api: { admin: { listen: \"[::]:8174\", unsafe_listen: true }, metadata: { listen: \"127.0.0.1:8174\" } }",
            &[&format!(
                "1:81: api.metadata.listen: found 127.0.0.1:8174, where api.admin.listen is ([::]:8174); {fix}"
            )],
        ),
        (
            "api: { admin: { listen: \"systemd:x\" }, metadata: { listen: \"systemd:x\" } }",
            &[&format!(
                "1:60: api.metadata.listen: found systemd:x, where api.admin.listen is (systemd:x); {fix}"
            )],
        ),
    ]);
    for apart in [
        "api: { admin: { listen: \"127.0.0.1:0\" }, metadata: { listen: \"127.0.0.1:0\" } }",
        "api: { admin: { listen: \"0.0.0.0:9\", unsafe_listen: true }, metadata: { listen: \"[::1]:9\" } }",
        "api: { admin: { listen: \"127.0.0.1:8174\" }, metadata: { listen: off } }",
    ] {
        right(apart);
    }
}

#[test]
fn no_source_is_mwid_itself() {
    let told = |place: &str, asked: &str, ours: &str| {
        format!(
            "{place}.address: found {asked}, where api.metadata.listen is ({ours}); wanted the platform's metadata server; mwid would \
             ask itself; leave the address out for the platform's own, or listen somewhere else"
        )
    };
    let by_default = "127.0.0.1:8174";
    for (text, told) in [
        (
            "tokens: { source: { metadata: { address: \"127.0.0.1:8174\" } } }",
            told("1:42: tokens.source.metadata", by_default, by_default),
        ),
        (
            "tokens: { source: { impersonate: { email: a@p.iam.gserviceaccount.com, from: { metadata: { address: \"[::1]:8174\" } } } } }",
            told(
                "1:101: tokens.source.impersonate.from.metadata",
                "[::1]:8174",
                "[::1]:8174",
            ),
        ),
        (
            "identity: { source: { metadata: { address: \"127.0.0.1:8174\" } } }",
            told("1:44: identity.source.metadata", by_default, by_default),
        ),
        (
            "identity: { source: { metadata_grpc: { address: \"127.0.0.1:8174\" } } }",
            told("1:49: identity.source.metadata_grpc", by_default, by_default),
        ),
        (
            "api: { metadata: { listen: \"0.0.0.0:80\", unsafe_listen: true } }\ntokens: { source: { metadata: { address: \"127.0.0.1:80\" } } }",
            told("2:42: tokens.source.metadata", "127.0.0.1:80", "0.0.0.0:80"),
        ),
    ] {
        refused(&[(text, &[told.as_str()])]);
    }
    for text in [
        // Another port; a family that is not listened on; nobody listens; the platform's, which no address of this machine is.
        "tokens: { source: { metadata: { address: \"127.0.0.1:8175\" } } }",
        "tokens: { source: { metadata: { address: \"127.0.0.2:8174\" } } }",
        "api: { metadata: { listen: off } }\ntokens: { source: { metadata: { address: \"127.0.0.1:8174\" } } }",
        "api: { metadata: { listen: \"0.0.0.0:80\", unsafe_listen: true } }\ntokens: { source: { metadata: { address: \"[::1]:80\" } } }",
        "api: { metadata: { listen: \"0.0.0.0:80\", unsafe_listen: true } }\nidentity: { source: { metadata: { address: \"169.254.169.254:80\" } } }",
    ] {
        right(text);
    }
}
