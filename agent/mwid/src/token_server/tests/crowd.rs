//! Many connections: nobody has all the places.
use super::*;
use crate::token_server::metrics::Kind;

const CROWD: usize = 5000;

/// As many as the number of open files lets both ends of them be.
fn crowd() -> usize {
    http::files::raise();
    let crowd = CROWD.min((http::files::allowed().saturating_sub(256)) / 2);
    if crowd < CROWD {
        eprintln!("a crowd of {crowd} instead of {CROWD}: the limit on open files allows no more");
    }
    crowd
}

pub(super) async fn waits_for(what: impl Fn() -> bool) {
    let looking = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .unwrap();
}

/// An idle connection of a test.
enum Idle {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Idle {
    fn is_open(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tcp(stream) => stream.try_read(&mut byte),
        };
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[tokio::test]
async fn idle_connections_of_one_user_keep_nobody_else_out() {
    let crowd = crowd();
    // Far fewer places than the crowd wants.
    let places = crowd / 8;
    let house = House::with(None, places);
    let token = request("GET", &format!("{ACCOUNT}/token"), FLAVOR, "");
    let mut idle = vec![];
    house.doorman.expects(std::iter::repeat_n(1000, crowd));
    for n in 0..crowd {
        idle.push(if n % 2 == 0 {
            Idle::Unix(UnixStream::connect(&house.socket).await.unwrap())
        } else {
            Idle::Tcp(TcpStream::connect(house.tcp).await.unwrap())
        });
    }
    waits_for(|| house.doorman.missing() == 0).await;
    for uid in [1001, 0] {
        house.doorman.expects([uid, uid]);
        let began = std::time::Instant::now();
        assert_eq!(house.send(&token).await.status, 200, "uid {uid}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    assert_eq!(house.metrics.count(Kind::Token, 200), 4);
    let open = idle.iter().filter(|connection| connection.is_open()).count();
    // A quarter of the places of each listener is one user's; the one more of each may be about to be closed.
    assert!((1..=2 * (places / 4 + 1)).contains(&open), "{open} of {places}");
}
