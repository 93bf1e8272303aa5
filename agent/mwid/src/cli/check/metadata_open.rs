//! Can every process on this VM ask the metadata server past mwid?
use super::{Finding, Scene};
use nix::unistd::{Uid, User};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// The server is in the hypervisor: it takes a connection within a millisecond.
const WITHIN: Duration = Duration::from_secs(1);

/// Only at Compute Engine's own address, and only where somebody said or the firmware says that it is there.
pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.server.expected || !scene.server.is_the_platforms() {
        return Vec::new();
    }
    let daemon = scene
        .settings
        .runtime_dir
        .metadata()
        .ok()
        .map(|found| Uid::from_raw(found.uid()));
    let named = User::from_name("mwid").ok().flatten().map(|user| user.uid);
    judge(scene.looker.uid, [daemon, named], scene.server.http)
        .into_iter()
        .collect()
}

/// What root and the daemon's own user can do says nothing: a closed server is open to both.
fn judge(me: Uid, daemon: [Option<Uid>; 2], server: SocketAddr) -> Option<Finding> {
    let fix = "leave TCP 80, 443 and 8083 of 169.254.169.254 to root and mwid: see the nftables example in mwid's README, and what it says \
               of OS Login and others who ask there";
    if me.is_root() || daemon.contains(&Some(me)) {
        return Some(
            Finding::note(
                "metadata_server_unjudged",
                format!("whether every process may ask the metadata server at {server} cannot be seen by this user"),
            )
            .why("root and mwid may always ask it; if everybody may, access rules bind only those who ask mwid")
            .fix("check as another user too: sudo -u daemon mwid check"),
        );
    }
    TcpStream::connect_timeout(&server, WITHIN).ok()?;
    Some(
        Finding::warning(
            "metadata_server_open",
            format!("every process of this user (uid {me}) can ask the metadata server at {server} itself"),
        )
        .why("it gives them the VM's tokens with all their scopes; mwid's access rules bind only those who ask mwid")
        .fix(fix),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_that_this_user_can_reach_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let (me, mwid, root) = (Uid::from_raw(1000), Uid::from_raw(990), Uid::from_raw(0));
        let id = |me, daemon| judge(me, daemon, server).map(|finding| finding.id);
        assert_eq!(id(me, [None, Some(mwid)]), Some("metadata_server_open"));
        for (me, daemon) in [
            (root, [None, None]),
            (mwid, [Some(mwid), None]),
            (mwid, [None, Some(mwid)]),
        ] {
            assert_eq!(id(me, daemon), Some("metadata_server_unjudged"));
        }
        let asked = listener.accept();
        assert!(asked.is_ok(), "the first was a true connection");
        drop(listener);
        assert_eq!(id(me, [None, Some(mwid)]), None, "nobody lets this user in");
    }
}
