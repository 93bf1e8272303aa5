//! Every way in which the guest agents, Kubernetes and people replace a directory ends with the newest good identity in force, and
//! none displaces a good one by a bad one (the sharp edges of the agents, one test each).
mod site;

use super::*;
use crate::bundle::{TrustBundle, TrustBundles};
use crate::spiffe_id::TrustDomain;
use site::{DOMAIN, Followed, NEVER, PATIENCE, Site, as_written, followed, write};
use std::fs;
use std::os::unix::fs::symlink;
use testkit::guest_agent::{Agent, Secrets};
use testkit::pki::{LeafSpec, Validity, World};

#[tokio::test]
async fn a_good_directory_gives_an_identity_at_once() {
    let site = Site::new();
    write(&site.root, &site.new_files());
    let followed = followed(&site.root, NEVER);
    assert_eq!(followed.reader.generation(), 1);
    assert!(followed.status.borrow().trouble().is_none());
    assert!(followed.status.borrow().last_read().is_some());
}

#[tokio::test]
async fn trust_bundles_json_is_used() {
    let site = Site::new();
    let mut files = site.new_files();
    files.retain(|(name, _)| *name != "ca_certificates.pem");
    let bundle = |world: &World| {
        let domain = TrustDomain::parse(&world.root.trust_domain).unwrap();
        TrustBundle::from_pem(domain, world.root.cert_pem.as_bytes()).unwrap()
    };
    let mut bundles = TrustBundles::of(bundle(&site.world));
    bundles.insert(bundle(&World::new("other.org"))).unwrap();
    files.push(("trust_bundles.json", bundles.to_map_json().into_bytes()));
    write(&site.root, &files);
    let identity = followed(&site.root, NEVER).reader.current().unwrap();
    assert_eq!(identity.bundles(), &bundles);
}

#[tokio::test]
async fn the_parent_is_not_there_yet() {
    let site = Site::new();
    let parent = site.root.join("run/secrets");
    let mut secrets = Secrets::new(&parent);
    let mut followed = followed(&secrets.link(), NEVER);
    followed.troubles("nothing yet", "directory_missing", || {}).await;
    fs::create_dir_all(&parent).unwrap();
    let files = site.new_files();
    followed
        .brings(1, "first identity", || {
            secrets.replace(Agent::Current, &as_written(&files));
        })
        .await;
}

#[tokio::test]
async fn the_link_points_at_a_half_filled_directory() {
    let site = Site::new();
    let (contents, link) = (site.root.join("contents"), site.root.join("link"));
    fs::create_dir(&contents).unwrap();
    fs::write(
        contents.join("config_status"),
        r#"{"partnerMetadataConfigsErrors": {}}"#,
    )
    .unwrap();
    let mut followed = followed(&link, NEVER);
    followed
        .troubles("only a status", "file_missing", || {
            symlink(&contents, &link).unwrap();
        })
        .await;
    let files = site.new_files();
    followed
        .troubles("certificates only", "file_missing", || {
            write(&contents, &files[..1].to_vec());
        })
        .await;
    followed.brings(1, "filled", || write(&contents, &files)).await;
    assert!(followed.status.borrow().config_status().unwrap().is_healthy());
}

#[tokio::test]
async fn the_legacy_agent_renames_over_the_link_and_deletes_the_old_directory() {
    swaps(Agent::Legacy).await;
}

#[tokio::test]
async fn the_current_agent_removes_the_link_before_it_renames() {
    swaps(Agent::Current).await;
}

async fn swaps(agent: Agent) {
    let site = Site::new();
    let mut secrets = Secrets::new(&site.root);
    let mut followed = followed(&secrets.link(), NEVER);
    for generation in 1..=20 {
        let files = site.new_files();
        followed
            .brings(generation, &format!("{agent:?}"), || {
                secrets.replace(agent, &as_written(&files));
            })
            .await;
    }
}

#[tokio::test]
async fn swaps_faster_than_reads_end_with_the_newest() {
    let site = Site::new();
    let mut secrets = Secrets::new(&site.root);
    let mut followed = followed(&secrets.link(), NEVER);
    for n in 0..200 {
        let agent = if n % 2 == 0 { Agent::Legacy } else { Agent::Current };
        secrets.replace(agent, &as_written(&site.new_files()));
    }
    let last = site.leaf();
    secrets.replace(Agent::Current, &as_written(&site.files(&last)));
    let newest = async {
        while followed
            .reader
            .current()
            .is_none_or(|i| i.chain()[0].as_ref() != last.leaf_der)
        {
            followed.reader.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, newest).await.unwrap();
    println!(
        "201 swaps were seen as {} generations",
        followed.reader.generation()
    );
}

#[tokio::test]
async fn a_dangling_link_keeps_the_identity_and_heals() {
    let site = Site::new();
    let mut secrets = Secrets::new(&site.root);
    secrets.replace(Agent::Legacy, &as_written(&site.new_files()));
    let mut followed = followed(&secrets.link(), NEVER);
    let target = fs::read_link(secrets.link()).unwrap();
    followed
        .troubles("deleted", "dangling_link", || {
            fs::remove_dir_all(&target).unwrap();
        })
        .await;
    let files = site.new_files();
    followed
        .brings(2, "healed", || {
            secrets.replace(Agent::Current, &as_written(&files));
        })
        .await;
    assert!(followed.status.borrow().trouble().is_none());
}

#[tokio::test]
async fn empty_missing_and_mixed_files_keep_the_identity() {
    let site = Site::new();
    let mut secrets = Secrets::new(&site.root);
    let good = site.new_files();
    secrets.replace(Agent::Legacy, &as_written(&good));
    let mut followed = followed(&secrets.link(), NEVER);
    let bent = |name: &str, bytes: Option<&[u8]>| {
        let mut files = site.new_files();
        files.retain(|(n, _)| *n != name);
        if let Some(bytes) = bytes {
            files.push(("certificates.pem", bytes.to_vec()));
        }
        files
    };
    for (what, reason, files) in [
        ("an empty file", "file_empty", bent("certificates.pem", Some(b""))),
        ("no key", "file_missing", bent("private_key.pem", None)),
        ("another key", "key_mismatch", {
            let mut files = bent("private_key.pem", None);
            files.push(("private_key.pem", site.leaf().key_pem.into_bytes()));
            files
        }),
        ("roots of another CA", "bad_signature", {
            let mut files = bent("ca_certificates.pem", None);
            files.push((
                "ca_certificates.pem",
                World::new(DOMAIN).root.cert_pem.into_bytes(),
            ));
            files
        }),
    ] {
        followed
            .troubles(what, reason, || {
                secrets.replace(Agent::Current, &as_written(&files));
            })
            .await;
    }
    assert_eq!(followed.reader.generation(), 1);
}

#[tokio::test]
async fn unchanged_bytes_under_a_new_name_are_no_new_generation() {
    let site = Site::new();
    let mut secrets = Secrets::new(&site.root);
    let files = site.new_files();
    secrets.replace(Agent::Current, &as_written(&files));
    let mut followed = followed(&secrets.link(), NEVER);
    for _ in 0..3 {
        secrets.replace(Agent::Current, &as_written(&files));
        followed.reads().await;
        assert_eq!(followed.reader.generation(), 1);
    }
    let files = site.new_files();
    followed
        .brings(2, "other bytes", || {
            secrets.replace(Agent::Current, &as_written(&files));
        })
        .await;
}

#[tokio::test]
async fn files_rewritten_in_place_are_used_when_they_fit() {
    let site = Site::new();
    write(&site.root, &site.new_files());
    let mut followed = followed(&site.root, NEVER);
    let files = site.new_files();
    followed
        .troubles("half of a new pair", "key_mismatch", || {
            write(&site.root, &files[..1].to_vec());
        })
        .await;
    followed
        .brings(2, "the other half", || write(&site.root, &files[1..].to_vec()))
        .await;
}

#[tokio::test]
async fn kubernetes_data_link() {
    let site = Site::new();
    let volume = site.root.join("volume");
    fs::create_dir(&volume).unwrap();
    let mut followed = followed(&volume, NEVER);
    for generation in 1..=3 {
        let files = site.new_files();
        followed
            .brings(generation, "..data", || {
                let directory = volume.join(format!("..{generation}"));
                fs::create_dir(&directory).unwrap();
                write(&directory, &files);
                symlink(directory.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
                fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
                fs::remove_dir_all(volume.join(format!("..{}", generation - 1))).ok();
            })
            .await;
    }
}

#[tokio::test]
async fn a_mount_over_the_directory_is_seen_by_the_poll() {
    let site = Site::new();
    write(&site.root, &site.new_files());
    let mounted = site.root.join("mounted");
    fs::create_dir(&mounted).unwrap();
    write(&mounted, &site.new_files());
    let mut followed = followed(&mounted, Duration::from_millis(50));
    let mount = |args: &[&str]| {
        let tool = std::process::Command::new(args[0])
            .args(&args[1..])
            .arg(&mounted)
            .output();
        tool.is_ok_and(|o| o.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "none"]) {
        println!("skipped: this user may not mount");
        return;
    }
    let files = site.new_files();
    followed
        .brings(2, "mounted over", || write(&mounted, &files))
        .await;
    let again = site.new_files();
    followed
        .brings(3, "watched below the mount", || write(&mounted, &again))
        .await;
    assert!(mount(&["umount"]));
    followed
        .brings(4, "unmounted: the first files again", || {})
        .await;
}

#[tokio::test]
async fn a_candidate_of_the_near_future_is_proven_when_its_time_comes() {
    let site = Site::new();
    let spec = LeafSpec {
        validity: Validity { from: 1, to: 3600 },
        ..LeafSpec::new(&format!("spiffe://{DOMAIN}/ns/shop/sa/payments"))
    };
    write(&site.root, &site.files(&site.world.leaf_of(&spec)));
    let mut followed = followed(&site.root, NEVER);
    followed.troubles("not yet", "not_yet_valid", || {}).await;
    followed.brings(1, "its time has come", || {}).await;
    assert!(followed.status.borrow().trouble().is_none());
}

#[tokio::test]
async fn a_dropped_follower_stops_its_thread() {
    let site = Site::new();
    write(&site.root, &site.new_files());
    let Followed {
        mut reader, follower, ..
    } = followed(&site.root, NEVER);
    assert!(reader.changed().await.is_some());
    drop(follower);
    // The writer lives in the thread.
    let end = tokio::time::timeout(PATIENCE, reader.changed()).await.unwrap();
    assert!(end.is_none());
    assert!(reader.current().is_some(), "the identity stays");
}
