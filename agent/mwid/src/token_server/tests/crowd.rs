//! Many connections: nobody has all the places.
use super::*;
use crate::token_server::metrics::Kind;

const CROWD: usize = 5000;

/// As many as the number of open files lets both ends of them be.
fn crowd() -> usize {
    http::files::raise();
    CROWD.min((http::files::allowed().saturating_sub(256)) / 2)
}

async fn waits_for(what: impl Fn() -> bool) {
    let looking = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .unwrap();
}

#[tokio::test]
async fn idle_connections_of_one_user_keep_nobody_else_out() {
    let crowd = crowd();
    // In proportion, where fewer files may be open.
    let house = House::with(None, CONNECTIONS.min(crowd));
    let token = request("GET", &format!("{ACCOUNT}/token"), FLAVOR, "");
    let mut idle: Vec<Box<dyn AsyncRead>> = vec![];
    house.doorman.expects(std::iter::repeat_n(1000, crowd));
    for n in 0..crowd {
        idle.push(if n % 2 == 0 {
            Box::new(UnixStream::connect(&house.socket).await.unwrap())
        } else {
            Box::new(TcpStream::connect(house.tcp).await.unwrap())
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
    drop(idle);
}
