//! Random streams through an outbound and an inbound route: both ways at once, with readers and writers that pause, and ends of all kinds. What arrives is what
//! was sent, or with a reset the beginning of it; each end of one side ends the other, and nothing is left.
use super::*;
use crate::http::Stream;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// So many in one run; PROPTEST_CASES says how many instead.
const CASES: u32 = 80;
/// What one side sends at most in one step.
const LARGE: usize = 4 << 20;

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes.
    Send(usize),
    /// Milliseconds.
    Pause(u64),
}

/// What one side does.
#[derive(Clone, Debug)]
struct Side {
    steps: Vec<Step>,
    /// Reads in pieces of so many bytes.
    piece: usize,
    /// After so many bytes it reads nothing for so many milliseconds.
    rests: Vec<(usize, u64)>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Each side ends its own direction when it has sent all.
    Both,
    /// The client, when it has sent all, resets the connection. At a Unix socket, which knows no resets, it goes without a word.
    ClientResets,
    ServerResets,
}

#[derive(Clone, Debug)]
struct Case {
    /// Whether the client's side and the application's are Unix sockets.
    unix: (bool, bool),
    client: Side,
    server: Side,
    end: End,
}

fn side() -> impl Strategy<Value = Side> {
    let size = prop_oneof![
        4 => 1_usize..64,
        4 => 16_300_usize..16_500,
        4 => 1_usize..300_000,
        1 => 1_000_000..LARGE,
    ];
    let step = prop_oneof![4 => size.prop_map(Step::Send), 1 => (0_u64..20).prop_map(Step::Pause)];
    // The first: nothing is read until all that lies between is full.
    let rests = prop::collection::vec((prop_oneof![Just(0), 1..LARGE], 0_u64..60), 0..4);
    let piece = prop_oneof![1 => 1_usize..700, 4 => 1_usize..100_000];
    (prop::collection::vec(step, 0..12), piece, rests).prop_map(|(steps, piece, mut rests)| {
        rests.sort_unstable();
        Side { steps, piece, rests }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let end = prop_oneof![3 => Just(End::Both), 1 => Just(End::ClientResets), 1 => Just(End::ServerResets)];
    (any::<(bool, bool)>(), side(), side(), end).prop_map(|(unix, client, server, end)| Case {
        unix,
        client,
        server,
        end,
    })
}

/// Routes one after the other, of each kind.
struct Ways {
    site: Site,
    app: App,
    unix_app: UnixListener,
    outs: Vec<(bool, bool, SocketAddr)>,
    dir: tempfile::TempDir,
}

impl Ways {
    async fn new() -> Self {
        let (here, app) = (World::new(HERE), App::start().await);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("unix:{}", dir.path().join(name).display());
        let unix_app = UnixListener::bind(dir.path().join("app")).unwrap();
        let (mut inbound, mut outbound, mut outs) = (String::new(), String::new(), vec![]);
        for (from, to) in [(false, false), (false, true), (true, false), (true, true)] {
            let name = name(from, to);
            // A kind that is neither for all.
            let middle = if from == to {
                free().to_string()
            } else {
                path(&format!("middle-{name}"))
            };
            let target = if to { path("app") } else { app.address.to_string() };
            let tcp = free();
            let listen = if from { path(&name) } else { tcp.to_string() };
            outs.push((from, to, tcp));
            inbound += &format!(
                "  - {{ name: in-{name}, listen: \"{middle}\", forward: \"{target}\", allow: [\"spiffe://here.test/vm\"] }}\n"
            );
            outbound += &format!(
                "  - {{ name: out-{name}, listen: \"{listen}\", connect: \"{middle}\", expect: \"spiffe://here.test/vm\" }}\n"
            );
        }
        let mut site = Site::new(&here, &[&here]);
        site.routes(&format!("  inbound:\n{inbound}  outbound:\n{outbound}"));
        Self {
            site,
            app,
            unix_app,
            outs,
            dir,
        }
    }

    /// Both ends of a new connection, which has carried a byte.
    async fn connect(&self, (from, to): (bool, bool)) -> io::Result<(Stream, Stream)> {
        let out = self.outs.iter().find(|out| (out.0, out.1) == (from, to));
        let (_, _, tcp) = *out.unwrap();
        let mut client = match from {
            true => Stream::Unix(UnixStream::connect(self.dir.path().join(name(from, to))).await?),
            false => Stream::Tcp(TcpStream::connect(tcp).await?),
        };
        client.write_all(&[0]).await?;
        let mut server = match to {
            true => Stream::Unix(self.unix_app.accept().await?.0),
            false => Stream::Tcp(self.app.accept().await),
        };
        server.read_exact(&mut [0]).await?;
        Ok((client, server))
    }

    async fn run(&self, case: Case) -> Result<(), TestCaseError> {
        let connected = self.connect(case.unix).await;
        let (client, server) = connected.map_err(|e| TestCaseError::fail(format!("no connection: {e}")))?;
        let client = tokio::spawn(play(client, case.client, case.end == End::ClientResets, 1));
        let server = tokio::spawn(play(server, case.server, case.end == End::ServerResets, 2));
        let both = async { (client.await.unwrap(), server.await.unwrap()) };
        let Ok((client, server)) = tokio::time::timeout(PATIENCE, both).await else {
            return Err(TestCaseError::fail("it hangs"));
        };
        let tcp = |unix: bool| !unix;
        match case.end {
            End::Both => {
                is_whole("up", &client, &server)?;
                is_whole("down", &server, &client)?;
            }
            // Who resets looks at nothing any more; what the other got is a beginning, and no end where an end can be told from a reset.
            End::ClientResets => broke("up", &client, &server, tcp(case.unix.0) && tcp(case.unix.1))?,
            End::ServerResets => broke("down", &server, &client, tcp(case.unix.0) && tcp(case.unix.1))?,
        }
        let name = name(case.unix.0, case.unix.1);
        for route in [format!("in-{name}"), format!("out-{name}")] {
            self.site.wait(&route, "an end", |status| status.open == 0).await;
        }
        Ok(())
    }
}

fn name(from: bool, to: bool) -> String {
    let kind = |unix| if unix { "unix" } else { "tcp" };
    format!("{}-{}", kind(from), kind(to))
}

/// What one side has seen.
struct Seen {
    sent: Vec<u8>,
    /// Why it could not send all.
    writes: io::Result<()>,
    got: Vec<u8>,
    /// The end, or an error.
    reads: io::Result<()>,
}

fn is_whole(way: &str, from: &Seen, to: &Seen) -> Result<(), TestCaseError> {
    prop_assert!(from.writes.is_ok(), "{way}: {:?}", from.writes);
    prop_assert!(to.reads.is_ok(), "{way}: {:?}", to.reads);
    prop_assert!(
        from.sent == to.got,
        "{way}: {} bytes sent, {} arrived",
        from.sent.len(),
        to.got.len()
    );
    Ok(())
}

fn broke(way: &str, from: &Seen, to: &Seen, is_told: bool) -> Result<(), TestCaseError> {
    prop_assert!(
        from.sent.starts_with(&to.got),
        "{way}: other bytes than were sent"
    );
    prop_assert!(
        to.sent.starts_with(&from.got),
        "against {way}: other bytes than were sent"
    );
    // Once told, by whatever was tried first, it is not told again.
    let told = to.reads.is_err() || to.writes.is_err();
    prop_assert!(!is_told || told, "{way}: a reset looks like an end");
    Ok(())
}

/// Sends by steps, then ends its side or resets; reads to the end all the while.
async fn play(stream: Stream, side: Side, resets: bool, seed: u8) -> Seen {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    let (mut writes, mut reads) = (Ok(()), Ok(()));
    {
        let mut read = std::pin::pin!(read(&mut reader, &side, &mut got));
        let mut write = std::pin::pin!(write(&mut writer, &side.steps, !resets, seed, &mut sent));
        let (mut is_written, mut is_read) = (false, false);
        // Who resets does not wait for what comes.
        while !is_written || (!is_read && !resets) {
            tokio::select! {
                done = &mut write, if !is_written => (writes, is_written) = (done, true),
                done = &mut read, if !is_read => (reads, is_read) = (done, true),
            }
        }
    }
    if resets && let Stream::Tcp(tcp) = reader.unsplit(writer) {
        tcp.set_zero_linger().unwrap();
    }
    Seen {
        sent,
        writes,
        got,
        reads,
    }
}

async fn write(
    writer: &mut WriteHalf<Stream>,
    steps: &[Step],
    ends: bool,
    seed: u8,
    sent: &mut Vec<u8>,
) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(size) => {
                let from = sent.len();
                sent.extend((from..from + size).map(|at| (at * 31 + at / 251).to_le_bytes()[0] ^ seed));
                writer.write_all(&sent[from..]).await?;
            }
            Step::Pause(time) => tokio::time::sleep(Duration::from_millis(*time)).await,
        }
    }
    if ends {
        writer.shutdown().await?;
    }
    Ok(())
}

async fn read(reader: &mut ReadHalf<Stream>, side: &Side, got: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = vec![0; side.piece];
    let mut rests = side.rests.iter().peekable();
    loop {
        while let Some((_, time)) = rests.next_if(|(after, _)| *after <= got.len()) {
            tokio::time::sleep(Duration::from_millis(*time)).await;
        }
        match reader.read(&mut buffer).await? {
            0 => return Ok(()),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
}

#[test]
fn what_goes_in_comes_out_both_ways_and_each_end_is_an_end() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ways = runtime.block_on(Ways::new());
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let run = TestRunner::new(config).run(&case(), |case| runtime.block_on(ways.run(case)));
    if let Err(failed) = run {
        panic!("{failed}");
    }
}
