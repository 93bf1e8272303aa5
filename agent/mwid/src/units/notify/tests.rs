//! Against a notification socket of our own. The environment names it, so a second process runs the test.

use super::*;
use std::os::unix::net::UnixDatagram;

const HELPER: &str = "units::notify::tests::helper";

#[test]
fn systemd_hears_every_word_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([HELPER, "--exact"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "20000")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let heard = || {
        let mut buffer = [0; 512];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=generation 7\n");
    assert_eq!(heard(), "STATUS=all well\n");
    let reloading = heard();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect("the reload's time");
    assert!(usec.trim().parse::<u64>().unwrap() > 0);
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1\n");
    }
    // Watchdog words may still come before the last one.
    while heard() != "STOPPING=1\nSTATUS=good bye\n" {}
    assert!(child.wait().unwrap().success());
}

/// Runs in the second process only; in the first there is no systemd, and nothing may happen.
#[tokio::test]
async fn helper() {
    ready("generation 7");
    status("all well");
    reloading();
    let shutdown = Shutdown::default();
    feed_watchdog(&shutdown);
    if std::env::var_os("WATCHDOG_USEC").is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shutdown.stop(Duration::from_secs(5)).await);
    stopping("good bye");
}
