//! Callers of outbound routes for as long as they are here: who loses the grant, loses the connection.
use super::strangers::{self, TLS13};
use super::*;
use crate::caller::testing::is_root;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A user of no account, so that it is neither root nor mwid's own.
const SOMEBODY: u32 = 4_000_000;

/// Another user's process that connects, and ends when its connection does.
fn somebody(to: SocketAddr) -> Child {
    let script = format!("exec 3<>/dev/tcp/{}/{}; cat <&3", to.ip(), to.port());
    let mut command = Command::new("bash");
    command.args(["-c", &script]).uid(SOMEBODY).gid(SOMEBODY);
    command
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test]
async fn a_caller_who_loses_the_route_loses_the_connection_within_a_second() {
    if !is_root() {
        return;
    }
    let here = World::new(HERE);
    let remote = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&remote);
    site.lets_out(SOMEBODY);
    let leaf = here.leaf("/ok");
    let mut caller = somebody(listen);
    let mut theirs = remote.accept_tls(&leaf).await;
    let _ours = TcpStream::connect(listen).await.unwrap();
    let mut root = remote.accept_tls(&leaf).await;
    site.wait("out", "two connections", |status| status.made == 2)
        .await;
    // A change that takes nothing from it changes nothing.
    site.lets_out(SOMEBODY);
    theirs.write_all(b"still here").await.unwrap();
    site.lets_out(SOMEBODY + 1);
    // As the promise is.
    let second = Duration::from_secs(1);
    let end = tokio::time::timeout(second, theirs.read(&mut [0; 1])).await;
    assert!(
        end.expect("the peer is still connected").is_err(),
        "no end of the caller's"
    );
    site.counted("proxy_connections_ended_total{route=\"out\",reason=\"caller_no_longer\"}")
        .await;
    root.write_all(b"still here").await.unwrap();
    site.wait("out", "one left", |status| status.open == 1).await;
    caller.wait().unwrap();
}

#[tokio::test]
async fn a_caller_who_loses_the_route_during_the_handshake_is_refused() {
    if !is_root() {
        return;
    }
    let here = World::new(HERE);
    let remote = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&remote);
    site.lets_out(SOMEBODY);
    let mut caller = somebody(listen);
    let tcp = remote.accept().await;
    // It has sent its hello: the dial is over, where the rules were looked at too.
    assert_eq!(tcp.peek(&mut [0]).await.unwrap(), 1);
    site.lets_out(SOMEBODY + 1);
    drop(strangers::server(&here.leaf("/ok"), TLS13).accept(tcp).await);
    assert_eq!(site.refusal("out").await, "caller");
    assert_eq!(site.status("out").made, 0, "nothing was passed on");
    caller.wait().unwrap();
}

#[tokio::test]
async fn a_caller_who_loses_the_route_is_not_dialled_for_any_further() {
    if !is_root() {
        return;
    }
    let here = World::new(HERE);
    let target = Full::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&target.app);
    site.lets_out(SOMEBODY);
    let mut caller = somebody(listen);
    target.is_dialled().await;
    site.lets_out(SOMEBODY + 1);
    assert_eq!(site.refusal("out").await, "caller");
    caller.wait().unwrap();
}
