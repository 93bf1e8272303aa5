//! Who gets the X.509 identity's private key, by name and within trees, and that it is not remembered.
use super::*;
use tokio::time::advance;

const INSTANCE: &str = "instance/?recursive=true&alt=json";
const TREE: &str = r#"{
  "attributes": {"workload-identities": "the owner's"},
  "credentials": {"mdsClientCertificate": "SECRET"},
  "gceWorkloadCertificates": {"workloadIdentities": {"workloadCredentials": {"spiffe://a/b": {"privateKeyPem": "SECRET\n"}}}},
  "id": 12345678901234567890,
  "serviceAccounts": {"default": {"email": "platform@x", "token": "TOKEN"}}
}"#;

#[tokio::test(start_paused = true)]
async fn the_key_by_name_is_only_for_who_may_have_the_identity() {
    let w = World::new();
    for path in [
        "instance/gce-workload-certificates/workload-identities",
        "instance/workload-identities",
        "instance/workload-certificates",
        "instance/credentials/mds-client-certificate",
    ] {
        w.platform.set(path, told("SECRET"));
        w.platform.count();
        let denied = w.get(path).await;
        assert_eq!(
            (denied.status, denied.about_key),
            (403, Some(PrivateKey::Denied(NO_IDENTITY))),
            "{path}"
        );
        assert!(denied.body.contains("identity: true") && !denied.body.contains("SECRET"));
        assert_eq!(w.platform.count(), 0, "not even asked for");
        let given = w.get_as(true, path).await;
        assert_eq!(
            (given.status, given.body.as_str(), given.about_key),
            (200, "SECRET", Some(PrivateKey::Given))
        );
        // One who asks in the same moment without the grant, by any other spelling.
        for other in [
            format!("{path}?alt=json"),
            format!("{path}/"),
            format!("{path}/?recursive=true"),
            path.to_uppercase(),
        ] {
            assert_eq!(w.status(&other).await, 403, "{other}");
        }
    }
    assert_eq!(w.asker().remembered().0, 0, "a key is not remembered");
}

#[tokio::test(start_paused = true)]
async fn a_tree_comes_without_what_its_reader_may_not_have() {
    let w = World::new();
    w.platform.set(INSTANCE, told(TREE).json().etag("t1"));
    // In either order: what one gets is not the other's.
    for identity in [false, true, false] {
        let tree = w.get_as(identity, "instance/?recursive=true").await;
        assert_eq!((tree.status, tree.etag.as_deref()), (200, Some("t1")));
        let value: Value = serde_json::from_str(&tree.body).unwrap();
        assert_eq!(value["serviceAccounts"]["default"]["email"], "ours@x");
        assert!(!tree.body.contains("platform@x") && !tree.body.contains("TOKEN"));
        assert_eq!(value["attributes"]["workload-identities"], "the owner's");
        assert_eq!(value["id"], 12_345_678_901_234_567_890_u64);
        assert_eq!(tree.body.contains("SECRET"), identity, "{}", tree.body);
        assert_eq!(tree.about_key, identity.then_some(PrivateKey::Given));
    }
    assert_eq!(w.asker().remembered().0, 1, "only what is no secret");
    assert_eq!(w.platform.asked(), [INSTANCE; 2], "once for each kind of reader");
    w.platform.with(|state| state.away = true);
    advance(seconds(5)).await;
    assert_eq!(w.status("instance/?recursive=true").await, 200);
    assert_eq!(w.get_as(true, "instance/?recursive=true").await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn the_same_as_lines_of_text() {
    let w = World::new();
    w.platform.set(INSTANCE, told(TREE).json());
    let plain = w.get("instance/?recursive=true&alt=text").await;
    assert_eq!(
        (plain.content_type.as_str(), plain.body.as_str()),
        (
            "application/text",
            "service-accounts/default/email ours@x\nattributes/workload-identities the owner's\nid 12345678901234567890\n"
        )
    );
    let whole = w.get_as(true, "instance/?recursive=true&alt=text").await;
    assert!(whole.body.contains("/private-key-pem SECRET\n"), "{}", whole.body);
    assert!(!whole.body.contains("TOKEN"));
    assert_eq!(whole.about_key, Some(PrivateKey::Given));
}

#[tokio::test(start_paused = true)]
async fn the_root_and_other_trees_are_pruned_alike() {
    let w = World::new();
    w.platform.set(
        "?recursive=true&alt=json",
        told(&format!(
            "{{\"instance\": {TREE}, \"project\": {{\"x\": {{\"workloadIdentities\": \"SECRET\"}}}}}}"
        ))
        .json(),
    );
    for target in ["?recursive=true", "?recursive=true&alt=text"] {
        let body = w.body(target).await;
        assert!(
            body.contains("ours@x") && !body.contains("SECRET") && !body.contains("TOKEN"),
            "{body}"
        );
    }
    for (question, target) in [
        ("project/?recursive=true&alt=json", "project/?recursive=true"),
        (
            "instance/x/?recursive=true&alt=json",
            "instance/x/?recursive=true&alt=text",
        ),
    ] {
        w.platform.set(question, told(TREE).json());
        let got = w.get(target).await;
        assert_eq!(got.status, 200);
        assert!(
            !got.body.contains("/b") && !got.body.contains("TOKEN"),
            "{target}: {}",
            got.body
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_cannot_be_read_is_refused() {
    let w = World::new();
    for (body, status) in [
        ("{\"workloadIdentities\": \"SECRET\"", 200),
        ("workload-identities SECRET\n", 200),
        ("workload-identities SECRET\n", 206),
        ("", 204),
    ] {
        w.platform.set(INSTANCE, told(body).json().status(status));
        for target in ["instance/?recursive=true", "instance/?recursive=true&alt=text"] {
            for identity in [false, true] {
                let got = w.get_as(identity, target).await;
                assert_eq!(got.status, 502, "{body} {status}");
                assert!(!got.body.contains("SECRET"));
            }
        }
        advance(seconds(20)).await;
    }
    // A tree that was read before is served meanwhile.
    w.platform.set(INSTANCE, told("{\"id\":1}").json());
    assert_eq!(w.status("instance/?recursive=true").await, 200);
    w.platform.set(INSTANCE, told("{").json());
    advance(seconds(2)).await;
    assert_eq!(w.status("instance/?recursive=true").await, 200);
}

#[tokio::test(start_paused = true)]
async fn without_accounts_a_tree_has_none() {
    let w = World::new();
    w.platform.set(INSTANCE, told(TREE).json());
    let wish = Wish {
        path: "instance/",
        query: "recursive=true",
        host: "x",
        whose: None,
    };
    let reply = w
        .mirror
        .answer(wish, &Grant::default(), async { None }, async { None }, pending())
        .await;
    let value: Value = serde_json::from_str(&got(reply).await.body).unwrap();
    assert_eq!(value.get("serviceAccounts"), None);
    assert_eq!(value["attributes"]["workload-identities"], "the owner's");
}

#[tokio::test(start_paused = true)]
async fn accounts_are_asked_for_only_by_a_tree_that_has_them() {
    let w = World::new();
    w.platform.set("instance/id", told("1"));
    w.platform
        .set("project/?recursive=true&alt=json", told("{}").json());
    for (path, query) in [("instance/id", ""), ("project/", "recursive=true")] {
        let wish = Wish {
            path,
            query,
            host: "x",
            whose: None,
        };
        let accounts = async { panic!("{path} needs no accounts") };
        let reply = w
            .mirror
            .answer(wish, &Grant::default(), accounts, async { None }, pending())
            .await;
        assert_eq!(reply.status(), 200);
    }
}
