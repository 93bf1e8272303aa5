//! `api.workload.sds`: the names of Envoy's secrets.
use super::{parse, right};
use crate::config::SdsSettings;

#[test]
fn without_a_word_the_names_are_those_that_envoys_of_spire_ask_for() {
    for text in ["{}", "api: { workload: {} }", "api: { workload: { sds: {} } }"] {
        let sds = right(text).sds;
        assert_eq!(
            (&*sds.default, &*sds.root, &*sds.all, sds.spiffe_validator),
            ("default", "ROOTCA", "ALL", true),
            "{text}"
        );
    }
}

#[test]
fn every_key_arrives_and_leaves_the_door_alone() {
    let settings = right(
        "api: { workload: { mode: \"0660\", sds: { default: own, root: \"spiffe://example.org\", all: everybody, spiffe_validator: false } } }",
    );
    let wanted = SdsSettings {
        default: "own".to_owned(),
        root: "spiffe://example.org".to_owned(),
        all: "everybody".to_owned(),
        spiffe_validator: false,
    };
    assert_eq!(settings.sds, wanted);
    assert_eq!(settings.workload.socket.unwrap().mode, 0o660);
}

#[test]
fn a_name_is_one_things_and_one_that_can_be_asked_for() {
    let long = format!("api: {{ workload: {{ sds: {{ all: {} }} }} }}", "x".repeat(2049));
    for (text, key, words) in [
        (
            "api: { workload: { sds: { root: default } } }",
            "api.workload.sds.root",
            "name of `default` too",
        ),
        (
            "api: { workload: { sds: { default: ALL } } }",
            "api.workload.sds.all",
            "name of `default` too",
        ),
        (
            "api: { workload: { sds: { default: \"\" } } }",
            "api.workload.sds.default",
            "a name for Envoy to ask for",
        ),
        (
            "api: { workload: { sds: { root: \"a b\" } } }",
            "api.workload.sds.root",
            "without spaces",
        ),
        (
            "api: { workload: { sds: { all: \"*\" } } }",
            "api.workload.sds.all",
            "which is all there is",
        ),
        (&long, "api.workload.sds.all", "a name for Envoy to ask for"),
        (
            "api: { workload: { sds: { rootca: x } } }",
            "api.workload.sds",
            "rootca",
        ),
        (
            "api: { workload: { sds: { spiffe_validator: maybe } } }",
            "api.workload.sds.spiffe_validator",
            "maybe",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(words), "{text}: {error}");
    }
}
