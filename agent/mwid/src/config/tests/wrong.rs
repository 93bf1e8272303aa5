//! Wrong form: keys, types, nulls, YAML. The whole text of each error.
use super::{parse, refused};

const SPELLING: &str = "correct the spelling or the indentation, or remove it";

#[test]
fn unknown_keys_are_refused_with_their_line() {
    let top = format!(
        "2:1: logg: found an unknown key; wanted one of `identity`, `runtime_dir`, `publish`, `api`, `tokens`, `access`, `proxy`, `log`; {SPELLING}"
    );
    let nested = format!("3:3: log.levle: found an unknown key; wanted `level` or `format`; {SPELLING}");
    let source = format!(
        "2:13: identity.source.guest_agnt: found an unknown key; wanted one of `guest_agent`, `metadata`, `metadata_grpc`, `workload_api`, `dev_ca`; {SPELLING}"
    );
    let reaction = format!(
        "3:14: publish[0].then[0].restart: found an unknown key; wanted one of `reload`, `signal`, `of`, `run`, `timeout`; {SPELLING}"
    );
    let merge = format!("1:8: log.<<: found an unknown key; wanted `level` or `format`; {SPELLING}");
    refused(&[
        ("log: {}\nlogg: 1\n", &[&top]),
        ("log:\n  format: text\n  levle: info\n", &[&nested]),
        ("identity:\n  source: { guest_agnt: {} }\n", &[&source]),
        (
            "publish:\n  - then:\n         - { restart: a.service }\n",
            &[&reaction],
        ),
        ("log: { <<: { level: info } }\n", &[&merge]),
    ]);
}

#[test]
fn keys_of_later_versions_are_refused_with_the_true_reason() {
    let later = "found a key of a later version of mwid; wanted only keys of this version; \
                 remove it: this version does not serve";
    refused(&[
        (
            "proxy: { http: [] }",
            &[&format!(
                "1:10: proxy.http: {later} the proxy that adds ID tokens yet"
            )],
        ),
        (
            "tokens: { source: { x509_federation: {} } }",
            &[&format!(
                "1:21: tokens.source.x509_federation: {later} tokens in exchange for the X.509 identity yet"
            )],
        ),
        (
            "tokens: { source: x509_federation }",
            &["1:19: tokens.source: found \"x509_federation\"; \
                 wanted auto, none, metadata, adc, dev or { impersonate: { … } }; \
                 this version does not serve tokens in exchange for the X.509 identity yet"],
        ),
    ]);
}

#[test]
fn a_metadata_server_that_is_none_or_too_far_is_refused() {
    let wanted = "wanted the metadata server's address: IP:PORT, loopback or link-local (169.254.169.254)";
    for (address, fix) in [
        (
            "metadata.google.internal:80",
            "no name is looked up; write its IP address and port",
        ),
        ("169.254.169.254", "write the port too"),
        ("fd20:ce::254", "write the port too"),
        (
            "unix:x.sock",
            "no name is looked up; write its IP address and port",
        ),
        (
            "10.0.0.1:80",
            "the private key would travel over the network in plain text",
        ),
        (
            "0.0.0.0:80",
            "the private key would travel over the network in plain text",
        ),
        (
            "[fd20:ce::253]:80",
            "the private key would travel over the network in plain text",
        ),
        ("127.0.0.1:0", "nobody listens at port 0"),
    ] {
        refused(&[(
            &format!("identity: {{ source: {{ metadata: {{ address: \"{address}\" }} }} }}"),
            &[&format!(
                "1:44: identity.source.metadata.address: found \"{address}\"; {wanted}; {fix}"
            )],
        )]);
    }
    refused(&[(
        "identity: { source: { metadata_grpc: { address: \"1.1.1.1:8083\" } } }",
        &[&format!(
            "1:49: identity.source.metadata_grpc.address: found \"1.1.1.1:8083\"; {wanted}; \
             the private key would travel over the network in plain text"
        )],
    )]);
    refused(&[(
        "identity: { source: { metadata: { poll: 1ms } } }",
        &["1:41: identity.source.metadata.poll: found \"1ms\"; wanted a time from 100ms to 1h"],
    )]);
}

#[test]
fn doubled_keys_are_refused_with_the_line_of_the_second() {
    let twice = "found the key a second time in one map; wanted each key once; \
                 remove one of the two; YAML would silently use the last";
    refused(&[
        (
            "runtime_dir: /a\nlog: {}\nruntime_dir: /b\n",
            &[&format!("3:1: runtime_dir: {twice}")],
        ),
        (
            "api:\n  admin:\n    mode: \"0600\"\n    socket: a\n    \"mode\": \"0660\"\n",
            &[&format!("5:5: api.admin.mode: {twice}")],
        ),
        (
            "publish:\n  - { directory: /a }\n  - { directory: /b, owner: a, owner: b }\n",
            &[&format!("3:32: publish[1].owner: {twice}")],
        ),
        (
            "unheard: { of: 1, of: 2 }",
            &[&format!("1:19: unheard.of: {twice}")],
        ),
    ]);
}

#[test]
fn values_of_the_wrong_type_are_refused_with_what_is_wanted() {
    let map = "wanted a map (`key: value` lines)";
    refused(&[
        ("[1]", &[&format!("1:1: found a list; {map}")]),
        ("text", &[&format!("1:1: found \"text\"; {map}")]),
        ("log: info", &[&format!("1:6: log: found \"info\"; {map}")]),
        (
            "publish: { directory: /a }",
            &["1:10: publish: found a map; wanted a list"],
        ),
        (
            "publish: [{ files: gce }]",
            &["1:20: publish[0].files: found \"gce\"; wanted a list"],
        ),
        (
            "runtime_dir: 7",
            &["1:14: runtime_dir: found the number `7`; wanted a path"],
        ),
        (
            "publish:\n  - key_mode: 640",
            &[
                "2:15: publish[0].key_mode: found the number `640`; wanted a file mode in quotes, such as \"0640\"",
            ],
        ),
        (
            "publish:\n  - key_mode: 0o640",
            &[
                "2:15: publish[0].key_mode: found the number `416`; wanted a file mode in quotes, such as \"0640\"",
            ],
        ),
        (
            "identity: { source: { guest_agent: { poll: 30 } } }",
            &[
                "1:44: identity.source.guest_agent.poll: found the number `30`; wanted a time with its unit, such as 30s or 1h",
            ],
        ),
        (
            "api: { admin: { listen: 9090 } }",
            &["1:25: api.admin.listen: found the number `9090`; \
               wanted an address such as \"127.0.0.1:9090\", a list of addresses, or off"],
        ),
        (
            "api: { admin: { listen: [\"127.0.0.1:1\", 9090] } }",
            &["1:41: api.admin.listen[1]: found the number `9090`; \
               wanted an address: \"HOST:PORT\", \"unix:PATH\" or \"systemd:NAME\""],
        ),
        (
            "api: { admin: { unsafe_listen: yes } }",
            &["1:32: api.admin.unsafe_listen: found \"yes\"; wanted true or false"],
        ),
        (
            "identity: { source: { guest_agent: {}, dev_ca: {} } }",
            &["1:21: identity.source: found two sources; \
               wanted auto, none, or one source, such as { guest_agent: { poll: 30s } }"],
        ),
    ]);
}

#[test]
fn nulls_tags_and_odd_keys_are_refused() {
    let null =
        "found nothing (null); wanted a value; give it one, or remove the key: absent keys have defaults";
    refused(&[
        ("log:\n  level:\n", &[&format!("2:9: log.level: {null}")]),
        ("runtime_dir: ~\n", &[&format!("1:14: runtime_dir: {null}")]),
        ("publish: [null]\n", &[&format!("1:11: publish[0]: {null}")]),
        (
            "identity: { source: !guest_agent { poll: 1s } }",
            &[
                "1:21: identity.source: found a YAML tag; wanted plain values; remove the word that begins with `!`; \
               alternatives are written as a map, { guest_agent: { … } }",
            ],
        ),
        (
            "? [a]\n: b\n",
            &["1:3: found a list as a key; wanted a name as a key"],
        ),
    ]);
}

#[test]
fn text_that_is_no_yaml_is_refused_with_its_line() {
    let look = "wanted a YAML document; \
                look at this line and the one before it: indentation, quotes, brackets, a space after each colon";
    refused(&[
        (
            "log: { level: info\n",
            &[&format!(
                "2:1: log: found text that is not YAML (did not find expected ',' or '}}'); {look}"
            )],
        ),
        (
            "  log: {}\n api: {}\n",
            &[&format!(
                "2:2: found text that is not YAML (did not find expected <document start>); {look}"
            )],
        ),
        (
            "log: {}\n---\nlog: {}\n",
            &[
                "3:1: found a second YAML document; wanted one document; remove the line `---` and merge the two",
            ],
        ),
        (
            "runtime_dir: *where",
            &[
                "1:14: runtime_dir: found an alias (`*name`) without its anchor; wanted an anchor (`&name`) before it; \
               quote the text if it only begins with an asterisk",
            ],
        ),
    ]);
}

#[test]
fn every_wrong_value_is_told_in_one_go() {
    refused(&[(
        "runtime_dir: run\nlog: { level: loud, format: xml }\nidentity:\n  source: { guest_agent: { poll: 0s, directory: \"\" } }\n",
        &[
            "1:14: runtime_dir: found \"run\"; wanted an absolute path; write it in full, from /",
            "2:15: log.level: found \"loud\"; wanted one of error, warn, info, debug, trace",
            "2:29: log.format: found \"xml\"; wanted one of auto, text, json, journald",
            "4:34: identity.source.guest_agent.poll: found \"0s\"; wanted a time from 100ms to 1h",
            "4:49: identity.source.guest_agent.directory: found an empty text; wanted an absolute path; write it in full, from /",
        ],
    )]);
    let entries: String = (0..25)
        .map(|i| format!("  - {{ directory: rel{i} }}\n"))
        .collect();
    let error = parse(&format!("publish:\n{entries}")).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 21, "{error}");
    assert!(error.ends_with("\nand 5 more"), "{error}");
}
