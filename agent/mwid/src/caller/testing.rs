//! What tests of callers stand on: control groups as systemd makes them.
use nix::unistd::geteuid;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: clients of other users and control groups need root");
    }
    root
}

/// A control group made for one test.
pub(crate) struct Group {
    mount: PathBuf,
    made: Vec<PathBuf>,
}

impl Group {
    /// Below a slice of this process and `name`; `None`: there can be none here.
    pub(crate) fn make(name: &str, path: &str) -> Option<Self> {
        let mount = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .map(PathBuf::from)
            .into_iter()
            .find(|mount| mount.join("cgroup.procs").exists());
        let Some(mount) = mount.filter(|_| is_root()) else {
            println!("skipped: no cgroup2 to make a group in");
            return None;
        };
        let mut group = Self { mount, made: vec![] };
        let slice = format!("mwidtest-{name}{}.slice", std::process::id());
        let mut at = group.mount.join(slice);
        for part in [""].into_iter().chain(path.split('/')) {
            at.push(part);
            if let Err(e) = std::fs::create_dir(&at) {
                println!("skipped: {}: {e}", at.display());
                return None;
            }
            group.made.push(at.clone());
        }
        Some(group)
    }

    pub(crate) fn path(&self) -> &Path {
        self.made.last().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            // Its last process may still be on its way out.
            let patience = Instant::now() + LONG;
            while std::fs::remove_dir(path).is_err_and(|e| e.kind() == std::io::ErrorKind::ResourceBusy)
                && Instant::now() < patience
            {
                std::thread::yield_now();
            }
        }
    }
}
