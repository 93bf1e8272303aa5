//! Evidence of real sockets and processes.
use super::*;
use nix::unistd::{getegid, geteuid, getgroups};

fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

#[tokio::test]
async fn a_unix_socket_tells_user_groups_and_process() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let evidence = Attestor::new().evidence(&Stream::Unix(ours)).unwrap();
    assert_eq!(evidence.uid(), geteuid().as_raw());
    assert_eq!(evidence.gid(), Some(getegid().as_raw()));
    assert_eq!(evidence.pid(), Some(me()));
    let groups = evidence.groups().unwrap();
    assert!(groups.contains(&getegid().as_raw()));
    for group in getgroups().unwrap() {
        assert!(groups.contains(&group.as_raw()));
    }
    assert_eq!(evidence.to_string(), format!("uid {} pid {}", geteuid(), me()));
    let own = std::env::current_exe().unwrap();
    assert_eq!(evidence.exe().unwrap(), Some(own.as_path()));
    assert!(evidence.runs(&own).unwrap());
    assert!(!evidence.runs(Path::new("/bin/sh")).unwrap());
    let digest = evidence.sha256().unwrap().unwrap();
    let whole = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &std::fs::read(&own).unwrap());
    assert_eq!(digest, whole.as_ref());
    let unit = evidence.unit().unwrap().map(str::to_owned);
    assert_eq!(
        unit.as_deref(),
        unit::in_proc_file(&std::fs::read("/proc/self/cgroup").unwrap())
    );
}
