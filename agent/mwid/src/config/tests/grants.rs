//! What rules grant, where it is wrong: scopes and audiences.
use super::{parse, refused, right};

fn tokens(text: &str) -> String {
    format!("access: [{{ who: everyone, may: {{ access_tokens: {text} }} }}]")
}

#[test]
fn scopes_are_judged() {
    let wanted = "wanted a scope, such as https://www.googleapis.com/auth/devstorage.read_only";
    refused(&[
        (
            &tokens("{ scopes: [\"a,b\", \"a b\", \"a\\\"\", \"ä\", \"\", a, a] }"),
            &[
                &format!(
                    "1:60: access[0].may.access_tokens.scopes[0]: found \"a,b\"; {wanted}; write each scope as a list item of its own"
                ),
                &format!(
                    "1:67: access[0].may.access_tokens.scopes[1]: found \"a b\"; {wanted}; write each scope as a list item of its own"
                ),
                &format!(
                    "1:74: access[0].may.access_tokens.scopes[2]: found \"a\"\"; {wanted}; `\\\"` does not occur in scopes"
                ),
                &format!(
                    "1:81: access[0].may.access_tokens.scopes[3]: found \"ä\"; {wanted}; `\\u{{e4}}` does not occur in scopes"
                ),
                &format!(
                    "1:86: access[0].may.access_tokens.scopes[4]: found an empty text; {wanted}; write 1 to 256 characters"
                ),
                "1:93: access[0].may.access_tokens.scopes[6]: found \"a\" a second time; wanted each of the scopes once",
            ],
        ),
        (
            &tokens("{ scopes: [] }"),
            &[
                "1:59: access[0].may.access_tokens.scopes: found an empty list; wanted at least one of the scopes; \
               for all of them, say true instead of the map; for none, false",
            ],
        ),
        (
            &tokens("{}"),
            &[
                "1:49: access[0].may.access_tokens: found an empty map; wanted true, false or { scopes: [ … ] }",
            ],
        ),
        (
            &tokens("all"),
            &[
                "1:49: access[0].may.access_tokens: found \"all\"; wanted true, false or { scopes: [SCOPE, …] }",
            ],
        ),
        (
            &tokens("{ audiences: [a] }"),
            &[
                "1:51: access[0].may.access_tokens.audiences: found an unknown key; wanted `scopes`; \
               correct the spelling or the indentation, or remove it",
            ],
        ),
    ]);
}

#[test]
fn scopes_are_bounded() {
    let long = "x".repeat(257);
    let error = parse(&tokens(&format!("{{ scopes: [{long}] }}")))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("write 1 to 256 characters"), "{error}");
    right(&tokens(&format!("{{ scopes: [{}] }}", &long[1..])));
    let many: Vec<String> = (0..257).map(|i| format!("s{i}")).collect();
    let error = parse(&tokens(&format!("{{ scopes: [{}] }}", many.join(", "))))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("found 257 scopes; wanted at most 256"), "{error}");
    right(&tokens(&format!("{{ scopes: [{}] }}", many[1..].join(", "))));
}

const AUDIENCES: &[(&str, &str)] = &[
    ("", "write 1 to 1024 bytes"),
    (" a", "remove control characters, and spaces at both ends"),
    ("*", "only the host of a URL may hold `*`: begin with https://"),
    (
        "*.a.run.app",
        "only the host of a URL may hold `*`: begin with https://",
    ),
    (
        "h*s://a.b",
        "only the host of a URL may hold `*`: begin with https://",
    ),
    (
        "https://api-*.a.b",
        "`*` is one whole label between dots: write *.example.com, not api-*.example.com",
    ),
    (
        "https://**.a.b",
        "`*` is one whole label between dots: write *.example.com, not api-*.example.com",
    ),
    (
        "https://*",
        "name the host's last label; for all audiences, say `id_tokens: true`",
    ),
    (
        "https://a.*",
        "name the host's last label; for all audiences, say `id_tokens: true`",
    ),
    ("https://*.a.b:*", "write the port as a number, without `*`"),
    (
        "https://*.a.b/*",
        "no `*` after the host: the rest of the audience is compared as it is",
    ),
    (
        "https://a.b?*",
        "no `*` after the host: the rest of the audience is compared as it is",
    ),
    (
        "https://me@*.a.b",
        "`*` is one whole label between dots: write *.example.com, not api-*.example.com",
    ),
    (
        "https://*..b",
        "the host has something else than labels of letters, digits and dashes",
    ),
    (
        "https://*.ä.b",
        "the host has something else than labels of letters, digits and dashes",
    ),
];

#[test]
fn audiences_are_judged() {
    let wanted = "wanted an audience, such as https://api.example.com or https://*.a.run.app (`*` is one whole DNS label)";
    for (audience, fix) in AUDIENCES {
        let found = if audience.is_empty() {
            "an empty text".to_owned()
        } else {
            format!("\"{audience}\"")
        };
        refused(&[(
            &format!(
                "access: [{{ who: everyone, may: {{ id_tokens: {{ audiences: [\"{audience}\"] }} }} }}]"
            ),
            &[&format!(
                "1:59: access[0].may.id_tokens.audiences[0]: found {found}; {wanted}; {fix}"
            )],
        )]);
    }
    refused(&[(
        "access: [{ who: everyone, may: { id_tokens: { audiences: [a, a] }, access_tokens: {} } }]",
        &[
            "1:62: access[0].may.id_tokens.audiences[1]: found \"a\" a second time; wanted each of the audiences once",
            "1:83: access[0].may.access_tokens: found an empty map; wanted true, false or { scopes: [ … ] }",
        ],
    )]);
    let rules = vec!["{ who: everyone, may: { identity: true } }"; 1025].join(", ");
    let error = parse(&format!("access: [{rules}]")).unwrap_err().to_string();
    assert!(
        error.ends_with("found 1025 rules; wanted at most 1024"),
        "{error}"
    );
}
