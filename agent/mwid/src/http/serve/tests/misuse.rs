//! What the log says of clients who misuse the server.
use super::*;
use std::sync::Mutex;

/// The log's lines at the level that is the default.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    /// Of this thread, which runs the server too.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let kept = Self::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        (kept, tracing::subscriber::set_default(subscriber))
    }

    /// The lines since the last call that name the server and this user.
    fn about(&self, uid: u32) -> usize {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let (listener, uid) = ("listener=\"test\"", format!("uid={uid} "));
        let lines = text.lines();
        lines
            .filter(|line| line.contains(listener) && line.contains(&uid))
            .count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_or_too_slow_is_in_the_log_with_its_user() {
    let (log, _guard) = Kept::start();
    let server = start(Limits::default());
    for _ in 0..2 {
        let mut large = server.connect_as(1000);
        large.write_all(b"GET / HTTP/1.1\r\nX-Large: ").await.unwrap();
        large.write_all(&[b'x'; 9 * 1024]).await.unwrap();
        assert!(rest(&mut large).await.starts_with("HTTP/1.1 431 "));
    }
    assert_eq!(log.about(1000), 1, "not one for each");
    let mut slow = server.connect_as(1001);
    slow.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(&mut slow).await, "");
    assert_eq!(log.about(1001), 1);
    // Who has nothing more to ask misuses nothing.
    let mut idle = server.connect_as(1002);
    idle.write_all(ASK).await.unwrap();
    answer(&mut idle).await;
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(log.about(1002), 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_more_connections_than_his_share_is_in_the_log() {
    let (log, _guard) = Kept::start();
    let server = start(Limits {
        connections: 16,
        ..Limits::default()
    });
    let _silent: Vec<_> = (0..200).map(|_| server.connect_as(1000)).collect();
    answered_at_once(&mut server.connect_as(1001)).await;
    assert_eq!(server.counters.refused(), 196);
    assert_eq!(log.about(1000), 1, "not one for each");
}

#[tokio::test(start_paused = true)]
async fn who_has_no_place_is_told_so_in_http() {
    let server = start(Limits {
        connections: 16,
        ..Limits::default()
    });
    let mut open = vec![];
    for _ in 0..4 {
        let mut client = server.connect_as(1000);
        client.write_all(ASK).await.unwrap();
        answer(&mut client).await;
        open.push(client);
    }
    let got = rest(&mut server.connect_as(1000)).await;
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nretry-after: 1\r\n"),
        "{head}"
    );
    let length = format!("content-length: {}\r\n", body.len());
    assert!(head.contains(&length), "{}", body.len());
    assert_eq!(server.counters.refused(), 1);
    drop(open);
}
