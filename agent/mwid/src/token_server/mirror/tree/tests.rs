//! What leaves a tree and what stays, with names and shapes that somebody might hide behind.
use super::*;
use serde_json::json;

fn pruned(names: &[&str], keep: bool, tree: &str) -> (String, Option<usize>, bool) {
    let pruned = prune(tree.as_bytes(), names, keep).unwrap();
    let body = String::from_utf8(pruned.body.to_vec()).unwrap();
    serde_json::from_str::<IgnoredAny>(&body).expect("still JSON");
    (body, pruned.accounts_at, pruned.holds_identity)
}

const SECRET: &str = "SECRET";

#[test]
fn the_identity_is_found_wherever_and_however_it_is_written() {
    for tree in [
        r#"{"gceWorkloadCertificates": {"workloadIdentities": {"workloadCredentials": {"spiffe://a/b": {"privateKeyPem": "SECRET"}}}}}"#,
        r#"{"gceWorkloadCertificates": "{\"workloadCredentials\": {\"privateKeyPem\": \"SECRET\"}}"}"#,
        r#"{"gce-workload-certificates": "SECRET"}"#,
        r#"{"GCE_WORKLOAD_CERTIFICATES": ["SECRET"]}"#,
        r#"{"\u0067ce\u002dworkload\u002Dcertificates": "SECRET"}"#,
        r#"{"gce‐workload‐certificates": "SECRET"}"#,
        r#"{"workloadIdentities": "SECRET"}"#,
        r#"{"workload-identities": [[["SECRET"]]]}"#,
        r#"{"workloadCertificates": "SECRET"}"#,
        r#"{"workloadCertificatesV2": "SECRET"}"#,
        r#"{"x": [{"y": {"z": [1, {"workload_identities": {"a": "SECRET"}}]}}]}"#,
        r#"{"anything": {"spiffe://a/b": {"certificatePem": "x", "privateKeyPem": "SECRET"}}}"#,
        r#"{"anything": {"workloadCredentials": "SECRET"}}"#,
        // A name twice: both go.
        r#"{"workloadIdentities": "x", "a": 1, "workloadIdentities": "SECRET"}"#,
        // The end of a string that looks like the end of the member.
        r#"{"workloadIdentities": "\"}, \"SECRET\": {\"", "a": "\\"}"#,
        r#"{"workloadIdentities": {"a": "}]", "b": "\\\"SECRET"}, "c": 1}"#,
    ] {
        for names in [&["instance"][..], &["elsewhere", "deep"], &[]] {
            let (body, _, holds) = pruned(names, false, tree);
            assert!(!body.contains(SECRET) && !holds, "{tree} -> {body}");
            let (body, _, holds) = pruned(names, true, tree);
            assert!(body.contains(SECRET) && holds, "{tree} -> {body}");
        }
    }
}

#[test]
fn credentials_are_a_secret_right_below_the_instance() {
    let tree = r#"{"instance": {"credentials": {"mdsClientCertificate": "SECRET"}, "id": 1}}"#;
    assert_eq!(pruned(&[], false, tree).0, r#"{"instance":{"id":1}}"#);
    assert_eq!(
        pruned(&["instance"], false, r#"{"Credentials": "SECRET"}"#).0,
        "{}"
    );
    let elsewhere = r#"{"disks":[{"credentials":"a"}]}"#;
    assert_eq!(pruned(&["instance"], false, elsewhere).0, elsewhere);
}

#[test]
fn what_the_owner_wrote_stays_and_only_that() {
    let tree = r#"{"attributes":{"workload-identities":"mine","service-accounts":"mine","x":"\u00e9"}}"#;
    for names in [["instance"], ["project"]] {
        assert_eq!(pruned(&names, false, tree).0, tree);
    }
    // The platform gives texts there. Something larger is not what the owner wrote.
    let tree = r#"{"attributes":{"workload-identities":{"a":"SECRET"}}}"#;
    assert_eq!(pruned(&["instance"], false, tree).0, r#"{"attributes":{}}"#);
    let tree = r#"{"other":{"attributes":{"workload-identities":"SECRET"}}}"#;
    assert_eq!(
        pruned(&["instance"], false, tree).0,
        r#"{"other":{"attributes":{}}}"#
    );
}

#[test]
fn service_accounts_go_for_every_caller() {
    for keep in [true, false] {
        for tree in [
            r#"{"serviceAccounts": {"default": {"token": "SECRET"}}, "id": 1}"#,
            r#"{"service-accounts": {"default": {"token": "SECRET"}}, "id": 1}"#,
            r#"{"id": 1, "Service_Accounts": "SECRET"}"#,
            r#"{"id": 1, "\u0073erviceAccounts": "SECRET"}"#,
        ] {
            let (body, at, holds) = pruned(&["instance"], keep, tree);
            assert_eq!(
                (body.as_str(), at, holds),
                (r#"{"id":1}"#, Some(1), false),
                "{tree}"
            );
        }
        let deep = r#"{"x": {"instance": {"serviceAccounts": {"default": {"token": "SECRET"}}}}}"#;
        let (body, at, _) = pruned(&[], keep, deep);
        assert_eq!((body.as_str(), at), (r#"{"x":{"instance":{}}}"#, None));
    }
}

#[test]
fn our_universe_stands_in_place_of_the_platforms() {
    let ours = |accounts: bool, universe: bool| Ours {
        accounts: accounts.then(|| json!({})),
        universe: universe.then(|| "our\"s.example".to_owned()),
    };
    for (tree, accounts, universe, whole) in [
        (
            r#"{"universe": {"universeDomain": "x"}}"#,
            true,
            true,
            Some(r#"{"universe":{"universeDomain":"our\"s.example"}}"#),
        ),
        (
            r#"{"instance": {"id": 1}, "universe": {"universeDomain": "x", "y": 2}, "z": 3}"#,
            true,
            true,
            Some(
                r#"{"instance":{"serviceAccounts":{},"id":1},"universe":{"universeDomain":"our\"s.example","y":2},"z":3}"#,
            ),
        ),
        (
            r#"{"universe": {"universeDomain": "x"}, "instance": {}}"#,
            true,
            true,
            Some(r#"{"universe":{"universeDomain":"our\"s.example"},"instance":{"serviceAccounts":{}}}"#),
        ),
        (r#"{"universe": {"universeDomain": "x"}}"#, true, false, None),
        (
            r#"{"universe": {"domain": "x"}, "x": {"universe": {"universeDomain": "x"}}}"#,
            true,
            true,
            None,
        ),
    ] {
        let pruned = prune(tree.as_bytes(), &[], false).unwrap();
        let got =
            ours(accounts, universe).grafted(&pruned.body, pruned.accounts_at, pruned.universe_at.as_ref());
        let got = got.map(|got| String::from_utf8(got.to_vec()).unwrap());
        assert_eq!(got.as_deref(), whole, "{tree}");
    }
}

#[test]
fn our_accounts_come_in_their_place() {
    let ours = Ours {
        accounts: Some(json!({"default": {"email": "a@b"}})),
        universe: None,
    };
    let with = |names: &[&str], tree: &str| {
        let pruned = prune(tree.as_bytes(), names, false).unwrap();
        let body = ours
            .grafted(&pruned.body, pruned.accounts_at, pruned.universe_at.as_ref())
            .unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(
        with(&["instance"], r#"{ "id" : 1 , "serviceAccounts" : {} }"#),
        r#"{"serviceAccounts":{"default":{"email":"a@b"}},"id":1}"#
    );
    assert_eq!(
        with(&["instance"], r#"{"serviceAccounts":{}}"#),
        r#"{"serviceAccounts":{"default":{"email":"a@b"}}}"#
    );
    assert_eq!(
        with(
            &[],
            r#"{"project":{"a":1},"instance":{"name":"x"},"universe":{}}"#
        ),
        r#"{"project":{"a":1},"instance":{"serviceAccounts":{"default":{"email":"a@b"}},"name":"x"},"universe":{}}"#
    );
}

#[test]
fn what_stays_stays_as_it_was_written() {
    let tree =
        r#"{"id":8087716956832600123456789,"big":1e400,"t":[true,null,-0.0,[],{}],"s":"\u0041\n\"é{[,"}"#;
    assert_eq!(pruned(&["instance"], false, tree).0, tree);
    for scalar in ["1", "\"x\"", "null", " [ ] "] {
        assert_eq!(pruned(&[], false, scalar).0, scalar.replace(' ', ""));
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(prune(deep(DEEPEST).as_bytes(), &[], false).is_ok());
    for tree in [
        deep(DEEPEST + 1),
        deep(100_000),
        format!("{{\"workloadIdentities\":{}}}", deep(DEEPEST + 1)),
        String::new(),
        "not JSON".to_owned(),
        "{\"a\":1".to_owned(),
        "{\"a\":1}}".to_owned(),
        "{\"a\":1}{\"workloadIdentities\":2}".to_owned(),
        "{'workloadIdentities':2}".to_owned(),
        "{\"a\":1,}".to_owned(),
        "instance/id 1\n".to_owned(),
    ] {
        assert!(
            prune(tree.as_bytes(), &["instance"], false).is_err(),
            "{tree:.60}"
        );
    }
    assert!(matches!(
        prune(b"{\"a\":\"\xff\"}", &[], false),
        Err(TreeError::Encoding(_))
    ));
}

#[test]
fn a_tree_has_lines() {
    for (names, tree, wanted) in [
        (
            &["instance", "disks"][..],
            r#"[{"deviceName":"boot","index":0},{"deviceName":"b\n\u00e9\ud83d\ude00\ud83d\/"}]"#,
            "0/device-name boot\n0/index 0\n1/device-name b\né😀\u{fffd}/\n",
        ),
        (
            &["instance"],
            r#"{"attributes":{"myKey":"v"},"networkInterfaces":[{"dnsServers":["1.1.1.1","8.8.8.8"]}],"tags":[],"cpuPlatform":"x"}"#,
            "attributes/myKey v\nnetwork-interfaces/0/dns-servers 1.1.1.1\n8.8.8.8\ncpu-platform x\n",
        ),
        (&["project", "attributes"], r#"{"myKey":"v"}"#, "myKey v\n"),
        (
            &[],
            r#"{"instance":{"id":1,"partnerAttributes":{"iam.googleapis.com":{"someKey":true}}}}"#,
            "instance/id 1\ninstance/partner-attributes/iam.googleapis.com/someKey true\n",
        ),
        (&[], "1", "1\n"),
    ] {
        let got = lines(tree.as_bytes(), names).unwrap();
        assert_eq!(std::str::from_utf8(&got).unwrap(), wanted, "{tree}");
    }
    // Longer than any first capacity.
    let long = format!("{{\"a\":\"{}\",\"b\":2}}", "x".repeat(10_000));
    let got = lines(long.as_bytes(), &[]).unwrap();
    assert_eq!(
        std::str::from_utf8(&got).unwrap(),
        format!("a {}\nb 2\n", "x".repeat(10_000))
    );
}

/// The same rules over parsed values: slow, careless with secrets, and short enough to be seen right.
fn model(value: &Value, names: &mut Vec<String>, keep: bool) -> Value {
    match value {
        Value::Object(members) => {
            let mut left = serde_json::Map::new();
            for (name, value) in members {
                names.push(name.clone());
                let all: Vec<&str> = names.iter().map(String::as_str).collect();
                let custom = path::is_custom(&all) && value.is_string();
                if custom || !path::is_accounts(&all) && (keep || !path::is_identity(&all)) {
                    left.insert(name.clone(), model(value, names, keep));
                }
                names.pop();
            }
            Value::Object(left)
        }
        Value::Array(items) => {
            names.push("0".to_owned());
            let left = items.iter().map(|item| model(item, names, keep)).collect();
            names.pop();
            Value::Array(left)
        }
        scalar => scalar.clone(),
    }
}

fn trees() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let name = prop_oneof![
        proptest::sample::select(vec![
            "instance",
            "attributes",
            "credentials",
            "serviceAccounts",
            "service-accounts",
            "gceWorkloadCertificates",
            "workload_identities",
            "privateKeyPem",
            "id",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[\"\\\\{}\\[\\],: \n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn cutting_is_the_same_as_parsing(tree in trees(), keep: bool, pretty: bool, below: bool, cut in 0_usize..400) {
        let names: &[&str] = if below { &["instance"] } else { &[] };
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let pruned = prune(text.as_bytes(), names, keep).unwrap();
        let mut path: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let left: Value = serde_json::from_slice(&pruned.body).unwrap();
        proptest::prop_assert_eq!(&left, &model(&tree, &mut path, keep));
        if pruned.accounts_at.is_some() {
            let ours = Ours { accounts: Some(json!({"default": 1})), universe: Some("u".to_owned()) };
            let whole = ours.grafted(&pruned.body, pruned.accounts_at, pruned.universe_at.as_ref()).unwrap();
            let whole: Value = serde_json::from_slice(&whole).unwrap();
            let instance = if below { &whole } else { &whole["instance"] };
            proptest::prop_assert_eq!(&instance["serviceAccounts"]["default"], &json!(1));
        }
        lines(&pruned.body, names).unwrap();
        // Whatever it is cut to, it is read or refused.
        let part = text.as_bytes().get(..cut).unwrap_or_default();
        drop(prune(part, names, keep));
    }

    #[test]
    fn nothing_that_others_write_is_too_much(bytes: Vec<u8>, text in "[\\[\\]{}\",:\\\\u0-9a-f \n-]{0,40}") {
        for written in [&bytes[..], text.as_bytes()] {
            drop(prune(written, &["instance"], false));
            drop(lines(written, &[]));
        }
    }
}
