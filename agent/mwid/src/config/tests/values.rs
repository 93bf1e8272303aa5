//! Wrong values. The whole text of each error.
use super::{parse, refused, right};

#[test]
fn bad_ids_and_patterns_are_refused_with_the_rule_that_they_break() {
    for (text, start) in [
        (
            "identity: { expect: \"spiffe://EXAMPLE/**\" }",
            "f.yaml:1:21: identity.expect: found \"spiffe://EXAMPLE/**\"; wanted a pattern",
        ),
        (
            "identity:\n  expect: \"spiffe://a/**/b\"\n",
            "f.yaml:2:11: identity.expect: found \"spiffe://a/**/b\"; wanted a pattern",
        ),
        (
            "identity: { source: { dev_ca: { trust_domain: \"spiffe://a\" } } }",
            "f.yaml:1:47: identity.source.dev_ca.trust_domain: found \"spiffe://a\"; wanted a trust domain's name",
        ),
        (
            "identity: { source: { dev_ca: { path: \"/a//b\" } } }",
            "f.yaml:1:39: identity.source.dev_ca.path: found \"/a//b\"; wanted the path of a SPIFFE ID",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
        assert!(
            error.matches("; ").count() >= 2,
            "the broken rule is told too: {error}"
        );
    }
}

#[test]
fn addresses_are_judged() {
    let forms = "wanted an address: IP:PORT, unix:PATH or systemd:NAME";
    let loopback = "which is not loopback; wanted a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is \
                    plaintext; listen there and put TLS before it, or say unsafe_listen: true beside it";
    refused(&[
        (
            "api: { admin: { listen: \"localhost:1\" } }",
            &[&format!(
                "1:25: api.admin.listen: found \"localhost:1\"; {forms}; write \"127.0.0.1:1\" or \"[::1]:1\""
            )],
        ),
        (
            "api: { admin: { listen: [\"0.0.0.0:1\", \"[::]:1\", \"127.0.0.1:1\", \"::1:80\", \"1.2.3.4\", \":80\", \"127.0.0.1:1\"] } }",
            &[
                &format!("1:26: api.admin.listen[0]: found \"0.0.0.0:1\", {loopback}"),
                &format!("1:39: api.admin.listen[1]: found \"[::]:1\", {loopback}"),
                &format!(
                    "1:64: api.admin.listen[3]: found \"::1:80\"; {forms}; an IPv6 address stands in brackets: \"[::1]:80\""
                ),
                &format!(
                    "1:74: api.admin.listen[4]: found \"1.2.3.4\"; {forms}; write the port too, such as \"127.0.0.1:9090\""
                ),
                &format!(
                    "1:85: api.admin.listen[5]: found \":80\"; {forms}; write the address too: \"127.0.0.1:80\""
                ),
                "1:92: api.admin.listen[6]: found \"127.0.0.1:1\" a second time; wanted each address once",
            ],
        ),
        (
            "api: { admin: { listen: [off] } }",
            &[&format!(
                "1:26: api.admin.listen[0]: found \"off\"; {forms}; `off` stands alone, not in a list"
            )],
        ),
        (
            "api: { admin: { listen: \"systemd:a:b\" } }",
            &["1:25: api.admin.listen: found \"a:b\"; \
               wanted the FileDescriptorName= of a systemd socket: 1 to 255 ASCII characters, no colon"],
        ),
        (
            "api:\n  admin: { socket: off, mode: \"0600\" }",
            &[
                "2:31: api.admin.mode: found a key of no use, since `socket` is off; wanted no such key; remove it",
            ],
        ),
    ]);
    let long = "x".repeat(98);
    let text = format!("api: {{ admin: {{ socket: {long} }} }}");
    let error = parse(&text).unwrap_err().to_string();
    assert!(
        error.contains("a path of 108 bytes with runtime_dir; wanted a socket's path of at most 107 bytes"),
        "{error}"
    );
    assert!(parse(&text.replacen('x', "", 1)).is_ok());
    let error = parse(&format!("runtime_dir: /{long}")).unwrap_err().to_string();
    assert!(
        error.contains("api.admin.socket: found a path of 110 bytes with runtime_dir; wanted"),
        "{error}"
    );
}

#[test]
fn publishing_is_judged() {
    let own = "wanted a directory of its own; a published directory is replaced as a whole; choose another";
    let mode = "for files that hold the private key; wanted a mode that gives nothing to everybody, such as \"0640\"; \
                use a group (`group:`), or say unsafe_key_mode if everybody on this machine may be this VM";
    refused(&[
        (
            "publish:\n  - { directory: /a/b }\n  - { directory: /a/b/ }\n  - { directory: /a }\n  - { directory: /run }\n",
            &[
                &format!(
                    "3:18: publish[1].directory: found /a/b, which is, holds or lies in the directory of publish[0] (/a/b); {own}"
                ),
                &format!(
                    "4:18: publish[2].directory: found /a, which is, holds or lies in the directory of publish[0] (/a/b); {own}"
                ),
                &format!(
                    "5:18: publish[3].directory: found /run, which is, holds or lies in runtime_dir (/run/mwid); {own}"
                ),
            ],
        ),
        (
            "identity: { source: { guest_agent: { directory: /s } } }\npublish:\n  - directory: /s\n",
            &[&format!(
                "3:16: publish[0].directory: found /s, which is, holds or lies in the source's directory (/s); {own}"
            )],
        ),
        (
            "publish:\n  - key_mode: \"0644\"\n    files: [gce, gcee, gce]\n    store_password: \"\"\n    owner: \"a:b\"\n",
            &[
                &format!("2:15: publish[0].key_mode: found \"0644\" {mode}"),
                "3:18: publish[0].files[1]: found \"gcee\"; wanted one of gce, credential_bundle, haproxy, pkcs12, jks, spiffe_bundle",
                "3:24: publish[0].files[2]: found \"gce\" a second time; wanted each set once",
                "4:21: publish[0].store_password: found a password of 0 characters; wanted 1 to 128 characters; \
                 remove the key for the usual `changeit`; what protects the file is its mode",
                "5:12: publish[0].owner: found \"a:b\"; wanted the name or the number of a user or group",
            ],
        ),
        (
            "publish: [{ directory: /a/b }, { directory: /a/.b }]",
            &[&format!(
                "1:45: publish[1].directory: found /a/.b, which is, holds or lies in the directory of publish[0] (/a/b); {own}"
            )],
        ),
    ]);
}

#[test]
fn key_modes_are_judged() {
    refused(&[
        (
            "publish: [{ key_mode: \"0640\", unsafe_key_mode: \"0644\" }]",
            &[
                "1:48: publish[0].unsafe_key_mode: found both key_mode and unsafe_key_mode; wanted one of the two; remove unsafe_key_mode",
            ],
        ),
        (
            "publish: [{ key_mode: \"0740\" }]",
            &[
                "1:23: publish[0].key_mode: found \"0740\"; wanted a file mode in octal, such as \"0640\"; \
               leave out the bits 0100; allowed are those of 0666",
            ],
        ),
        (
            "publish: [{ key_mode: \"rw-r-----\" }]",
            &[
                "1:23: publish[0].key_mode: found \"rw-r-----\"; wanted a file mode in octal, such as \"0640\"; \
               write three or four digits from 0 to 7, in quotes",
            ],
        ),
    ]);
}

#[test]
fn reactions_are_judged() {
    let unit = "wanted a systemd unit's full name, such as nginx.service";
    let forms = "wanted one of { reload: UNIT }, { signal: HUP, of: UNIT or pid file }, { run: [/path/to/command], timeout: 10s }";
    let then = |items: &str| format!("publish:\n  - then:\n{items}");
    refused(&[(
        &then(
            "    - reload: nginx\n    - reload: \"a b.service\"\n    - { run: [ls] }\n    - { run: [\"ls -l\"] }\n    - { run: [] }\n    \
             - { run: [/bin/true], timeout: 1000h }\n    - signal: HUP\n    - { signal: WHAT, of: foo@.service }\n    - {}\n    \
             - { reload: a.service, run: [/bin/true] }\n    - { reload: a.service, timeout: 1s }\n",
        ),
        &[
            &format!(
                "3:15: publish[0].then[0].reload: found \"nginx\"; {unit}; write its type too, for instance .service"
            ),
            &format!(
                "4:15: publish[0].then[1].reload: found \"a b.service\"; {unit}; ` ` does not occur in unit names"
            ),
            "5:15: publish[0].then[2].run[0]: found \"ls\"; wanted a program's absolute path; \
             PATH is not searched; write it in full, such as /usr/bin/true",
            "6:15: publish[0].then[3].run[0]: found \"ls -l\"; wanted a program's absolute path; \
             no shell reads this: each argument is a list item of its own",
            "7:14: publish[0].then[4].run: found an empty list; wanted a program's absolute path and its arguments",
            "8:36: publish[0].then[5].timeout: found \"1000h\"; wanted a time from 100ms to 10m",
            &format!("9:7: publish[0].then[6]: found `signal` alone; {forms}; say whom with `of:`"),
            "10:17: publish[0].then[7].signal: found \"WHAT\"; wanted a signal's name, such as HUP or USR1",
            &format!(
                "10:27: publish[0].then[7].of: found \"foo@.service\"; {unit}; this is a template; name an instance, foo@INSTANCE.service"
            ),
            &format!("11:7: publish[0].then[8]: found an empty map; {forms}"),
            &format!(
                "12:7: publish[0].then[9]: found `reload`, `run` together; {forms}; write each reaction as a list item of its own"
            ),
            &format!(
                "13:7: publish[0].then[10]: found `reload`, `timeout` together; {forms}; only `run` has a timeout of its own"
            ),
        ],
    )]);
}

#[test]
fn a_password_is_never_in_an_error() {
    for text in [
        "publish: [{ store_password: 12345678 }]",
        "publish: [{ store_password: 1.2345678 }]",
        "publish: [{ store_password: -12345678 }]",
        "publish: [{ store_password: \"12345678\\n\" }]",
        "publish: [{ store_password: \"12345678\", key_mode: 640 }]",
        "publish: [{ store_password: \"12345678\", key_mode: \"0777\", directory: \"\" }]",
        "publish: [{ store_password: \"12345678, key_mode: 640 }]",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("2345678"), "{error:?}");
    }
    let settings = right("publish: [{ store_password: \"12345678\" }]");
    assert!(!format!("{settings:?}").contains("2345678"));
}
