//! Paths and the names on them, in all the spellings that somebody might try.
use super::*;

fn all_are(kind_of_all: Kind, paths: &[&str]) {
    for path in paths {
        assert_eq!(kind(path), kind_of_all, "{path:?}");
    }
}

#[test]
fn what_everybody_may_ask_the_platform() {
    all_are(
        Kind::Open,
        &[
            "",
            "instance",
            "instance/",
            "instance/id",
            "instance/network-interfaces/0/ip",
            "instance/partner-attributes/iam.googleapis.com/workload-identity",
            "instance/identity-configuration/identity-uuid",
            "instance/attributes/enable-workload-certificate",
            "project/attributes/ssh-keys",
            // What the owner wrote is no key of the platform's, whatever he called it; but only there.
            "instance/attributes/workload-identities",
            "project/attributes/service-accounts",
            "instance/disks/credentials",
        ],
    );
}

#[test]
fn the_key_in_every_spelling() {
    all_are(
        Kind::Identity,
        &[
            "instance/attributes/workload-identities/",
            "instance/attributes/x/workload-identities",
            "instance/gce-workload-certificates",
            "instance/gce-workload-certificates/",
            "instance/gce-workload-certificates/workload-identities",
            "instance/gce-workload-certificates/trust-anchors",
            "instance/GCE_Workload_Certificates/x",
            "instance/gceWorkloadCertificates/workloadIdentities",
            "instance/gce-workload-certificates-v2/workload-identities",
            "instance/gce.workload.certificates/x",
            "instance/workload-identities",
            "instance/WorkloadIdentities/",
            "instance/workload-certificates",
            "instance/workload-certificates-config-status",
            "instance/credentials/mds-client-certificate",
            "instance/Credentials/",
            "Instance/credentials/x",
            "elsewhere/workload-identities",
        ],
    );
}

#[test]
fn what_is_ours_or_is_read_in_two_ways_is_not_asked() {
    all_are(
        Kind::Unknown,
        &[
            "instance/guest-attributes/service-accounts/token",
            "instance/service-accounts",
            "instance/service-accounts/",
            "instance/service-accounts/default/token",
            "instance/serviceAccounts/default/identity",
            "instance/Service_Accounts/default/token",
            "Instance/service-accounts/default/token",
            "x/service-accounts/default/token",
            // Not a path that two readers read alike.
            "instance//service-accounts/default/token",
            "instance/./id",
            "instance/../id",
            "/",
            "instance/id//",
            "/instance/id",
            "instance;x/id",
            "instance\\id",
            "instance/%69d",
            "instance/id?x",
            "instance/id#x",
            "instance/id x",
            "instance/id\r\nX: y",
            "instance/\u{131}d",
        ],
    );
    assert_eq!(kind(&"a".repeat(LONGEST)), Kind::Open);
    assert_eq!(kind(&"a".repeat(LONGEST + 1)), Kind::Unknown);
}

#[test]
fn only_what_cannot_change_is_held_long() {
    for path in LASTING {
        assert_eq!(freshness(path), LONG);
        assert_eq!(kind(path), Kind::Open);
    }
    for path in [
        "instance/tags",
        "instance/attributes/x",
        "instance/",
        "instance/id/",
        "",
    ] {
        assert_eq!(freshness(path), SHORT, "{path:?}");
    }
}

#[test]
fn no_harmless_tree_holds_what_is_not() {
    for path in [
        "project/",
        "project/attributes/",
        "instance/disks/",
        "instance/disks/0/",
    ] {
        assert!(is_harmless(path), "{path}");
    }
    for path in [
        "",
        "instance/",
        "instance/disksx/",
        "instance/credentials/",
        "instance/guest-attributes/",
    ] {
        assert!(!is_harmless(path), "{path}");
    }
}
