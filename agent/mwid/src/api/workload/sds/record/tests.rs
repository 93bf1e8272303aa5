//! What the log says of refused secrets, with the time as an input.
use super::*;
use std::io;
use tracing::subscriber::DefaultGuard;

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

/// A record and what it logs, of this thread.
struct House {
    record: Record,
    log: Kept,
    _guard: DefaultGuard,
}

impl House {
    fn new() -> Self {
        let log = Kept::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        Self {
            record: Record::default(),
            log,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn refused(&self, user: u32, node: &str, reason: &str) {
        let who = Who::of(&Node {
            id: node.to_owned(),
            ..Node::default()
        });
        let nack = Nack {
            version: "v".into(),
            reason: reason.to_owned(),
        };
        self.record.refused(Kind::Stream, Some(user), &who, &nack);
    }

    /// Since the last call.
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.log.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines when the ten seconds are over.
    async fn after(&self) -> Vec<String> {
        // First what was started begins to wait.
        tokio::task::yield_now().await;
        tokio::time::advance(WITHIN).await;
        for _ in 0..USERS + 1 {
            tokio::task::yield_now().await;
        }
        self.lines()
    }
}

#[tokio::test(start_paused = true)]
async fn two_envoys_of_one_user_with_the_same_reason_have_a_line_each() {
    let house = House::new();
    for _ in 0..3 {
        house.refused(7, "east", "no key");
        house.refused(7, "west", "no key");
    }
    let lines = house.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, node) in lines.iter().zip(["node=\"east\"", "node=\"west\""]) {
        assert!(line.contains(node) && line.contains(": no key "), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_line_is_told_of_with_its_node_and_reason_when_the_time_is_over() {
    let house = House::new();
    for secret in 0..100 {
        house.refused(7, &format!("envoy-{secret}"), &format!("{secret} is bad"));
    }
    house.refused(8, "other", "expired");
    house.refused(8, "other", "expired");
    assert_eq!(house.lines().len(), OF_ONE + 1);
    let mut rest = house.after().await;
    rest.sort_by_key(|line| line.contains("uid=8"));
    let [seven, eight] = &rest[..] else {
        panic!("{rest:?}");
    };
    for (line, words) in [
        (
            seven,
            ["uid=7 ", "node=\"envoy-99\"", "left_out=84", ": 99 is bad "],
        ),
        (eight, ["uid=8 ", "node=\"other\"", "left_out=1", ": expired "]),
    ] {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    assert_eq!(house.after().await, [""; 0], "told once");
    house.refused(7, "envoy-99", "99 is bad");
    assert_eq!(house.lines().len(), 1, "the user begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_reasons_and_users_is_bounded() {
    let house = House::new();
    let long = "\u{202e}".repeat(512);
    for user in 0..1000 {
        for reason in 0..20 {
            house.refused(user, "", &format!("{reason}{long}"));
        }
    }
    assert_eq!(house.lines().len(), (USERS + 1) * OF_ONE);
    let rest = house.after().await;
    assert_eq!(rest.len(), USERS + 1);
    let longest = rest.iter().map(String::len).max().unwrap();
    assert!(longest < BEGINNING * 8 + 300, "{longest} bytes of one line");
    let others = rest.iter().find(|line| line.contains("of many users")).unwrap();
    let left_out = (1000 - USERS) * 20 - OF_ONE;
    assert!(others.ends_with(&format!("left_out={left_out}")), "{others}");
    assert!(house.record.state().0.is_empty());
}

#[test]
fn what_clients_write_is_harmless() {
    let who = Who::of(&Node {
        id: "a\r\nb \x1b[31m\u{202e}".to_owned(),
        cluster: "x".repeat(100_000),
        metadata: None,
    });
    assert_eq!(who.id, "a\\r\\nb \\u{1b}[31m\\u{202e}");
    assert_eq!(who.cluster.len(), LONGEST);
}
