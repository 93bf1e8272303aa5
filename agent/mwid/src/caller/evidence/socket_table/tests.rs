//! The table asked about real connections, and what is decided of what it may say.
use super::*;
use std::io::{Read as _, Write as _};
use tokio::net::TcpListener;

struct Pair {
    client: std::net::TcpStream,
    server: TcpStream,
}

/// A connection to `listen`, by a client that calls the server `as_called`.
async fn connect(listen: &str, as_called: &str) -> Option<Pair> {
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(e) => {
            println!("skipped: {listen}: {e}");
            return None;
        }
    };
    let address = SocketAddr::new(as_called.parse().unwrap(), listener.local_addr().unwrap().port());
    let client = std::net::TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().await.unwrap();
    Some(Pair { client, server })
}

async fn pair() -> Pair {
    connect("127.0.0.1:0", "127.0.0.1").await.unwrap()
}

fn inode(stream: &std::net::TcpStream) -> u32 {
    u32::try_from(fstat(stream).unwrap().st_ino).unwrap()
}

#[tokio::test]
async fn the_other_end_is_the_very_socket_of_the_client() {
    let table = SocketTable::default();
    for (listen, called) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "::ffff:127.0.0.1"),
        ("127.77.0.1:0", "127.77.0.1"),
        ("[::1]:0", "::1"),
        ("[::]:0", "127.0.0.1"),
        ("[::]:0", "::ffff:127.0.0.1"),
        ("[::]:0", "::1"),
        ("0.0.0.0:0", "127.0.0.1"),
    ] {
        let Some(pair) = connect(listen, called).await else {
            continue;
        };
        let socket = table.other_end(&pair.server).unwrap();
        assert_eq!(socket.inode, inode(&pair.client), "{called} at {listen}");
        assert_eq!(socket.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(socket.state, ESTABLISHED);
    }
}

#[tokio::test]
async fn many_at_once_are_told_apart() {
    let table = &SocketTable::default();
    let mut pairs = vec![];
    for _ in 0..50 {
        pairs.push(pair().await);
    }
    std::thread::scope(|scope| {
        for half in pairs.chunks(25) {
            scope.spawn(move || {
                for pair in half {
                    let socket = table.other_end(&pair.server).unwrap();
                    assert_eq!(socket.inode, inode(&pair.client));
                }
            });
        }
    });
}

#[tokio::test]
async fn a_client_bound_to_the_interface_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    if let Err(e) = socket.bind_device(Some(b"lo")) {
        println!("skipped: SO_BINDTODEVICE: {e}");
        return;
    }
    let (client, accepted) = tokio::join!(socket.connect(listener.local_addr().unwrap()), listener.accept());
    let (client, (server, _)) = (client.unwrap(), accepted.unwrap());
    let found = SocketTable::default().other_end(&server).unwrap();
    assert_eq!(u64::from(found.inode), fstat(&client).unwrap().st_ino);
}

#[tokio::test]
async fn a_client_that_closed_is_denied_as_an_orphan() {
    let Pair { client, server } = pair().await;
    drop(client);
    // Its uid is shown as root's.
    let denial = SocketTable::default().other_end(&server).unwrap_err();
    assert!(matches!(denial, Denial::Orphan), "{denial:?}");
}

#[tokio::test]
async fn a_client_that_closed_with_data_unread_by_us_is_denied_as_an_orphan() {
    let Pair { mut client, server } = pair().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(client);
    let denial = SocketTable::default().other_end(&server).unwrap_err();
    assert!(matches!(denial, Denial::Orphan), "{denial:?}");
}

#[tokio::test]
async fn a_client_that_ended_its_side_is_denied_as_such() {
    let Pair { mut client, server } = pair().await;
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let denial = SocketTable::default().other_end(&server).unwrap_err();
    assert!(
        matches!(denial, Denial::HalfClosed { state: 4 | 5 }),
        "{denial:?}"
    );
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_reset_the_connection_is_denied() {
    let Pair { client, server } = pair().await;
    nix::sys::socket::setsockopt(
        &client,
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )
    .unwrap();
    drop(client);
    let denial = SocketTable::default().other_end(&server).unwrap_err();
    assert!(matches!(denial, Denial::Closed), "{denial:?}");
}

/// After a reset the same addresses may be another client's, and the table has that one then.
#[tokio::test]
async fn a_later_client_with_the_same_addresses_is_not_taken_for_the_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Of an address that no other test calls from, so that none takes the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.9.77.1:0".parse().unwrap()).unwrap();
    let (first, met) = tokio::join!(socket.connect(address), listener.accept());
    let (first, (met, _)) = (first.unwrap(), met.unwrap());
    let port = first.local_addr().unwrap();
    first.set_zero_linger().unwrap();
    drop(first);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(port).unwrap();
    let (second, also_met) = tokio::join!(socket.connect(address), listener.accept());
    let (second, (also_met, _)) = (second.unwrap(), also_met.unwrap());
    let table = SocketTable::default();
    assert_eq!(also_met.peer_addr().unwrap(), port);
    let found = table.other_end(&also_met).unwrap();
    assert_eq!(u64::from(found.inode), fstat(&second).unwrap().st_ino);
    let denial = table.other_end(&met).unwrap_err();
    assert!(matches!(denial, Denial::Closed), "{denial:?}");
}

#[tokio::test]
async fn our_own_side_is_not_the_other() {
    // A server that connected to us from its listening port's neighbour looks like a client; it is its own end that counts.
    let Pair { client, server } = pair().await;
    client.set_nonblocking(true).unwrap();
    let client = TcpStream::from_std(client).unwrap();
    let table = SocketTable::default();
    assert_eq!(
        u64::from(table.other_end(&client).unwrap().inode),
        fstat(&server).unwrap().st_ino
    );
    assert_eq!(
        u64::from(table.other_end(&server).unwrap().inode),
        fstat(&client).unwrap().st_ino
    );
}

#[tokio::test]
async fn a_line_that_broke_is_replaced() {
    let table = SocketTable::default();
    let Pair {
        client: _client,
        server,
    } = pair().await;
    let mixed = End {
        own: "[::1]:1".parse().unwrap(),
        other: "127.0.0.1:1".parse().unwrap(),
    };
    table.other_end(&server).unwrap();
    assert!(table.ask([mixed, mixed]).is_err());
    assert!(table.0.lock().unwrap().is_none());
    table.other_end(&server).unwrap();
}

#[test]
fn what_is_decided() {
    let peer = "127.0.0.1:40000".parse().unwrap();
    let end = |state, inode| {
        Some(Socket {
            state,
            uid: 0,
            inode,
            cgroup: None,
        })
    };
    let (ours, theirs) = (end(ESTABLISHED, 7), end(ESTABLISHED, 8));
    let denied = |theirs, ours, inode| decide(theirs, ours, inode, peer).unwrap_err().kind();
    assert_eq!(decide(theirs, ours, 7, peer).ok(), theirs);
    assert_eq!(decide(theirs, ours, 7 + (1 << 32), peer).ok(), theirs);
    assert_eq!(decide(theirs, end(CLOSE_WAIT, 7), 7, peer).ok(), theirs);
    assert_eq!(
        denied(theirs, ours, 9),
        "network_namespace",
        "a look-alike of ours"
    );
    assert_eq!(denied(theirs, None, 7), "closed");
    for state in (0..20).filter(|state| ![ESTABLISHED, CLOSE_WAIT].contains(state)) {
        assert_eq!(denied(theirs, end(state, 7), 7), "closed");
    }
    assert_eq!(denied(None, ours, 7), "network_namespace");
    for state in 0..20 {
        assert_eq!(denied(end(state, 0), ours, 7), "orphan", "whatever its state is");
        if state != ESTABLISHED {
            assert_eq!(denied(end(state, 8), ours, 7), "half_closed");
        }
    }
}
