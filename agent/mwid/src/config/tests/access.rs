//! `access`: what rules mean, and what is wrong with others.
use super::{refused, right};
use crate::config::{AccessRule, AccessTokens, AudiencePattern, CallerConditions, IdTokens, May, Who};

fn one(text: &str) -> AccessRule {
    let mut rules = right(&format!("access: [{text}]")).access;
    assert_eq!(rules.len(), 1);
    rules.remove(0)
}

fn conditions(who: &str) -> CallerConditions {
    match one(&format!("{{ who: {who}, may: {{ identity: true }} }}")).who {
        Who::Caller(conditions) => *conditions,
        Who::Everyone => panic!("everyone for {who}"),
    }
}

fn may(text: &str) -> May {
    one(&format!("{{ who: everyone, may: {text} }}")).may
}

#[test]
fn each_condition_arrives() {
    let hash = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
    let all = conditions(&format!(
        "{{ user: alice, group: payments, unit: payments.service, exe: /usr/bin//pay, sha256: \"{hash}\" }}"
    ));
    assert_eq!(all.user.as_deref(), Some("alice"));
    assert_eq!(all.group.as_deref(), Some("payments"));
    assert_eq!(all.unit.as_deref(), Some("payments.service"));
    assert_eq!(all.exe.unwrap(), std::path::Path::new("/usr/bin/pay"));
    let bytes = all.sha256.unwrap();
    assert_eq!((bytes[0], bytes[8], bytes[31]), (0x01, 0xab, 0x89));
    let numbers = conditions("{ uid: 0, gid: 4294967294 }");
    assert_eq!((numbers.uid, numbers.gid), (Some(0), Some(4_294_967_294)));
    assert_eq!(
        conditions("{ unit: docker-1.scope }").unit.unwrap(),
        "docker-1.scope"
    );
    assert_eq!(
        one("{ who: everyone, may: { identity: true } }").who,
        Who::Everyone
    );
}

#[test]
fn each_grant_arrives() {
    assert_eq!(
        may("{ identity: true, access_tokens: true, id_tokens: true }"),
        May {
            identity: true,
            access_tokens: AccessTokens::All,
            id_tokens: IdTokens::All,
            ..May::default()
        }
    );
    assert_eq!(
        may("{ identity: true, access_tokens: false, id_tokens: false }"),
        May {
            identity: true,
            ..May::default()
        }
    );
    let scope = "https://www.googleapis.com/auth/devstorage.read_only";
    assert_eq!(
        may(&format!(
            "{{ access_tokens: {{ scopes: [\"{scope}\", openid] }} }}"
        ))
        .access_tokens,
        AccessTokens::Scopes([scope.to_owned(), "openid".to_owned()].into())
    );
    let audiences = [
        "https://*.a.run.app",
        "https://*.*.example.com:8443/x?y=z",
        "//iam.googleapis.com/projects/1/locations/global",
        "32555940559.apps.googleusercontent.com",
        "my service",
    ];
    assert_eq!(
        may(&format!("{{ id_tokens: {{ audiences: {audiences:?} }} }}")).id_tokens,
        IdTokens::Audiences(
            audiences
                .iter()
                .map(|a| AudiencePattern((*a).to_owned()))
                .collect()
        )
    );
    assert_eq!(right("access: []").access, []);
    assert_eq!(
        right("access: [{ who: everyone, may: { identity: true } }, { who: { uid: 1 }, may: { id_tokens: true } }]")
            .access
            .len(),
        2
    );
}

#[test]
fn a_rule_says_whom_it_means_and_what_it_grants() {
    let conditions = "wanted at least one of user, uid, group, gid, unit, exe, sha256";
    refused(&[
        (
            "access:\n  - {}\n  - { who: everyone }\n  - { may: { identity: true } }\n",
            &[
                "2:5: access[0]: found a rule without `who`; wanted whom it means; say `who: everyone`, or conditions",
                "2:5: access[0]: found a rule without `may`; wanted what it grants; \
                 say `may: { access_tokens: true }`, or remove the rule",
                "3:5: access[1]: found a rule without `may`; wanted what it grants; \
                 say `may: { access_tokens: true }`, or remove the rule",
                "4:5: access[2]: found a rule without `who`; wanted whom it means; say `who: everyone`, or conditions",
            ],
        ),
        (
            "access:\n  - { who: {}, may: {} }\n  - { who: all, may: { identity: false, id_tokens: false } }\n  - { who: alice, may: { identity: true } }\n",
            &[
                &format!(
                    "2:12: access[0].who: found an empty map; {conditions}; for all callers, say `who: everyone`"
                ),
                "2:21: access[0].may: found a rule that grants nothing; wanted at least one of identity, access_tokens, id_tokens, routes; \
                 grant something, or remove the rule: whom no rule matches gets nothing",
                "3:12: access[1].who: found \"all\"; wanted everyone, or a map of conditions; the word is `everyone`",
                "3:22: access[1].may: found a rule that grants nothing; wanted at least one of identity, access_tokens, id_tokens, routes; \
                 grant something, or remove the rule: whom no rule matches gets nothing",
                "4:12: access[2].who: found \"alice\"; wanted everyone, or a map of conditions; \
                 for a user: { user: alice }; for a unit: { unit: alice }",
            ],
        ),
        (
            "access: { who: everyone }",
            &["1:9: access: found a map; wanted a list"],
        ),
        (
            "access: [{ who: [a], may: { identity: true } }]",
            &[
                "1:17: access[0].who: found a list; wanted everyone, or a map of conditions, such as { unit: payments.service }",
            ],
        ),
        (
            "access: [{ who: everyone, may: { tokens: true } }]",
            &[
                "1:34: access[0].may.tokens: found an unknown key; wanted one of `identity`, `access_tokens`, `id_tokens`, `routes`; \
               correct the spelling or the indentation, or remove it",
            ],
        ),
        (
            "access: [{ who: { pid: 1 }, may: { identity: true } }]",
            &["1:19: access[0].who.pid: found an unknown key; \
               wanted one of `user`, `uid`, `group`, `gid`, `unit`, `exe`, `sha256`; \
               correct the spelling or the indentation, or remove it"],
        ),
        (
            "access: [{ who: everyone, may: { identity: yes } }]",
            &["1:44: access[0].may.identity: found \"yes\"; wanted true or false"],
        ),
    ]);
}

#[test]
fn conditions_are_judged() {
    refused(&[(
        "access:\n  - may: { identity: true }\n    who:\n      user: 1000\n      uid: 1\n      group: \"a b\"\n      gid: 4294967295\n      \
         unit: payments\n      exe: pay\n      sha256: abc\n  - may: { identity: true }\n    who: { unit: pay.slice, sha256: \"zz\" }\n",
        &[
            "4:13: access[0].who.user: found \"1000\"; wanted a name; for a number, say uid: 1000",
            "5:12: access[0].who.uid: found both user and uid; wanted one of the two; remove uid",
            "6:14: access[0].who.group: found \"a b\"; wanted the name or the number of a user or group",
            "7:12: access[0].who.gid: found both group and gid; wanted one of the two; remove gid",
            "7:12: access[0].who.gid: found the number `4294967295`; wanted a number below 4294967295",
            "8:13: access[0].who.unit: found \"payments\"; wanted a systemd unit's full name, such as nginx.service; \
             write its type too, for instance .service",
            "9:12: access[0].who.exe: found \"pay\"; wanted an absolute path; write it in full, from /",
            "10:15: access[0].who.sha256: found \"abc\"; wanted a SHA-256 in hexadecimal, 64 digits; \
             print it with: sha256sum /path/to/program",
            "12:18: access[1].who.unit: found \"pay.slice\"; wanted a service or a scope, such as payments.service; \
             no process runs in any other type of unit, so this rule would match nobody",
            "12:37: access[1].who.sha256: found \"zz\"; wanted a SHA-256 in hexadecimal, 64 digits; \
             print it with: sha256sum /path/to/program",
        ],
    )]);
    let who = |text: &str| format!("access: [{{ who: {{ {text} }}, may: {{ identity: true }} }}]");
    let not_hex = format!("{}g", "0".repeat(63));
    refused(&[
        (
            &who("uid: alice"),
            &["1:24: access[0].who.uid: found \"alice\"; wanted a number, without quotes"],
        ),
        (
            &who("uid: -1"),
            &["1:24: access[0].who.uid: found the number `-1`; wanted a number, without quotes"],
        ),
        (
            &who("unit: 7"),
            &["1:25: access[0].who.unit: found the number `7`; wanted a text"],
        ),
        (
            &who("sha256: 1234"),
            &[
                "1:27: access[0].who.sha256: found the number `1234`; wanted a SHA-256 in quotes: 64 hexadecimal digits",
            ],
        ),
        (
            &who(&format!("sha256: {not_hex}")),
            &[&format!(
                "1:27: access[0].who.sha256: found \"{not_hex}\"; wanted a SHA-256 in hexadecimal, 64 digits; \
                 print it with: sha256sum /path/to/program"
            )],
        ),
        (
            &who("unit: pay@.service"),
            &[
                "1:25: access[0].who.unit: found \"pay@.service\"; wanted a systemd unit's full name, such as nginx.service; \
               this is a template; name an instance, pay@INSTANCE.service",
            ],
        ),
    ]);
}
