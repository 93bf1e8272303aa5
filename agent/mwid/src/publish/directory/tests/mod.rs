//! A published directory as its readers see it: through normal publishes, faults, stops and restarts.

mod faults;
mod ours;
mod torn;

use super::{Access, Claim, Directory, Moment};
use crate::config::{FileSet, StorePassword};
use crate::files::Wanted;
use crate::publish::fs::FileSystem;
use crate::publish::testing::{Identities, TRUST_DOMAIN, fast_directory, wall};
use mtls_identity::{IdentitySnapshot, UnixTime};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

fn now() -> Moment {
    Moment {
        wall: wall(),
        instant: Instant::now(),
    }
}

/// Later on both clocks.
fn later(seconds: u64) -> Moment {
    let now = now();
    Moment {
        wall: UnixTime::since_unix_epoch(Duration::from_secs(now.wall.as_secs() + seconds)),
        instant: now.instant + Duration::from_secs(seconds),
    }
}

const PEM_SETS: [FileSet; 4] = [
    FileSet::Gce,
    FileSet::CredentialBundle,
    FileSet::Haproxy,
    FileSet::SpiffeBundle,
];

fn wanted(sets: &[FileSet]) -> Wanted {
    Wanted {
        sets: sets.iter().copied().collect::<BTreeSet<_>>(),
        password: StorePassword(Zeroizing::new("changeit".to_owned())),
    }
}

const OPEN: Access = Access {
    uid: None,
    gid: None,
    key_mode: 0o640,
};

/// As after a restart: nothing is remembered.
fn directory(path: &Path, access: Access, fs: Arc<dyn FileSystem>) -> Directory {
    let runtime_dir = path.parent().unwrap();
    let claim = Arc::new(Claim::default());
    Directory::new(path, runtime_dir, access, wanted(&PEM_SETS), claim, fs).unwrap()
}

fn generations(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let hidden = path.parent().unwrap().join(format!(".{name}"));
    let mut names: Vec<_> = std::fs::read_dir(hidden)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
}

/// What a generation's readers must find: file name and content.
fn expected(identity: &IdentitySnapshot) -> Vec<(String, Vec<u8>)> {
    let (chain, key) = (identity.chain_pem(), identity.private_key_pem());
    let key = key.as_str();
    let own = identity.bundles().get(identity.id().trust_domain()).unwrap();
    let file = |name: &str, content: String| (name.to_owned(), content.into_bytes());
    vec![
        file("certificates.pem", chain.clone()),
        file("private_key.pem", key.to_owned()),
        file("ca_certificates.pem", own.to_pem()),
        file("trust_bundles.json", identity.bundles().to_map_json()),
        file("credential-bundle.private-key.x509.pem", format!("{key}{chain}")),
        file(
            &format!("{TRUST_DOMAIN}.spiffe-trust-bundle.x509.pem"),
            own.to_pem(),
        ),
        file("haproxy.pem", format!("{chain}{key}")),
        file(&format!("{TRUST_DOMAIN}.bundle.json"), own.to_spiffe_json()),
    ]
}

/// Reads as an `openat` reader does: the directory is resolved once.
fn read_once(path: &Path) -> Option<Vec<(String, Vec<u8>)>> {
    use rustix::fs::{Mode, OFlags, open, openat};
    let dir = open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut out = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir).unwrap() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        if !name.starts_with('.') {
            let file = openat(&dir, name.as_str(), OFlags::CLOEXEC, Mode::empty()).unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut bytes).unwrap();
            out.push((name, bytes));
        }
    }
    Some(out)
}

/// Which of the identities every way of reading shows; fails when they differ or when anything is not whole.
fn shown<'a>(path: &Path, identities: &'a [Arc<IdentitySnapshot>]) -> Option<&'a Arc<IdentitySnapshot>> {
    let mut once = read_once(path)?;
    once.sort();
    let found = identities.iter().find(|identity| {
        let mut expected = expected(identity);
        expected.sort();
        expected == once
    });
    let found = found.expect("an openat reader sees a mixed or cut generation");
    for (name, content) in expected(found) {
        assert_eq!(
            std::fs::read(path.join(&name)).unwrap(),
            content,
            "by name: {name}"
        );
    }
    Some(found)
}
