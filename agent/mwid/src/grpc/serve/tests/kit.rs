//! A server whose connections a test makes, and its clients.
use super::*;
use crate::grpc::client::{Connection as Client, Method};
use crate::grpc::{Code, Frame, Metrics, Status};
use crate::http;
use crate::proto::health::{HealthCheckRequest as Question, HealthCheckResponse as Told};
use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

/// Hands out the connections that a test sends it.
struct Scripted(mpsc::UnboundedReceiver<DuplexStream>);

impl Accept for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        match self.0.recv().await {
            Some(next) => Ok(next),
            None => std::future::pending().await,
        }
    }
}

pub(super) const ONE: &str = "/t.T/One";
pub(super) const DENIED: &str = "/t.T/Denied";
pub(super) const SLOW: &str = "/t.T/Slow";
pub(super) const LATEST: &str = "/t.T/Latest";
pub(super) const EACH: &str = "/t.T/Each";
/// One answer that can be taken back.
pub(super) const ONE_WHILE: &str = "/t.T/OneWhile";

/// The service.
#[derive(Clone)]
pub(super) struct Tester {
    /// What [`LATEST`] tells, encoded once for all; none ends the streams.
    pub(super) latest: watch::Sender<Option<Frame>>,
    /// Whose the next connections are; nobody's when it is empty.
    holders: Arc<Mutex<VecDeque<Holder>>>,
    /// Ends what waits for its client at [`EACH`] and [`ONE_WHILE`], and is how [`LATEST`] ends.
    pub(super) revoked: watch::Sender<Option<Status>>,
    /// Takes back what a client left of an answer of [`EACH`].
    pub(super) over: watch::Sender<Option<Status>>,
    /// Answers of [`EACH`] that were made.
    pub(super) made: watch::Sender<usize>,
    /// Whether connections are of no more use.
    pub(super) spent: Arc<AtomicBool>,
    /// Calls that the service has seen the end of, in whatever way.
    pub(super) dropped: watch::Sender<usize>,
}

impl Tester {
    fn revoked(&self) -> Revoked {
        once_told(&self.revoked)
    }

    fn end(&self) -> Status {
        let revoked = self.revoked.borrow().clone();
        revoked.unwrap_or_else(|| Status::new(Code::UNAVAILABLE, "nothing to tell"))
    }

    fn each(&self, question: &Question) -> Dated {
        self.made.send_modify(|made| *made += 1);
        Dated {
            pieces: Frame::of(question).into(),
            over: Some(once_told(&self.over)),
        }
    }
}

fn once_told(status: &watch::Sender<Option<Status>>) -> Revoked {
    let mut status = status.subscribe();
    Box::pin(async move {
        let status = status.wait_for(Option::is_some).await.unwrap();
        status.clone().unwrap()
    })
}

struct Guard(watch::Sender<usize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|dropped| *dropped += 1);
    }
}

impl Service<DuplexStream> for Tester {
    type Connection = Self;

    fn connected(&self, _: &DuplexStream) -> (Self, Option<Holder>) {
        (self.clone(), self.holders.lock().unwrap().pop_front())
    }
}

impl Calls for Tester {
    fn knows(&self, path: &str) -> bool {
        path.starts_with("/t.T/")
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::SeqCst)
    }

    async fn call(self: Arc<Self>, mut call: Call) -> Answer {
        let guard = Guard(self.dropped.clone());
        match call.path() {
            ONE => {
                let answer = call.one::<Question>().await.map(|question| Frame::of(&question));
                answer.into()
            }
            DENIED => Status::new(Code::PERMISSION_DENIED, "no identity issued").into(),
            SLOW => std::future::pending().await,
            LATEST => {
                let mut told = self.latest.subscribe();
                told.mark_changed();
                Answer::Latest(Box::pin(stream::unfold(
                    (self, told, guard),
                    |(this, mut told, guard)| async {
                        told.changed().await.ok()?;
                        let frame = told.borrow_and_update().clone();
                        let frame = frame.ok_or_else(|| this.end());
                        let dated = frame.map(|frame| Dated {
                            pieces: frame.into(),
                            over: Some(once_told(&this.over)),
                        });
                        Some((dated, (this, told, guard)))
                    },
                )))
            }
            EACH => {
                let revoked = self.revoked();
                let answers = stream::unfold((self, call, guard), |(this, mut call, guard)| async {
                    let next = call.next::<Question>().await.transpose()?;
                    Some((next.map(|question| this.each(&question)), (this, call, guard)))
                });
                Answer::Each(Box::pin(answers), Some(revoked))
            }
            ONE_WHILE => {
                let question = call.one::<Question>().await.unwrap();
                let made = async move { Ok(Frame::of(&question).into()) };
                Answer::once(made, Some(self.revoked()))
            }
            _ => Status::new(Code::UNIMPLEMENTED, "there is no such method").into(),
        }
    }
}

pub(super) struct Running {
    pub(super) tester: Tester,
    clients: mpsc::UnboundedSender<DuplexStream>,
    pub(super) counters: Server,
    pub(super) stop: CancellationToken,
    pub(super) ended: tokio::task::JoinHandle<()>,
}

pub(super) fn start(limits: Limits) -> Running {
    let (clients, script) = mpsc::unbounded_channel();
    let tester = Tester {
        latest: watch::Sender::new(Some(told(0))),
        holders: Arc::default(),
        revoked: watch::Sender::new(None),
        over: watch::Sender::new(None),
        made: watch::Sender::new(0),
        spent: Arc::default(),
        dropped: watch::Sender::new(0),
    };
    let stop = CancellationToken::new();
    let counters = Metrics::default().server("test", &http::Metrics::default());
    let ended = tokio::spawn(serve(
        Scripted(script),
        Arc::new(tester.clone()),
        limits,
        counters.clone(),
        stop.clone(),
    ));
    Running {
        tester,
        clients,
        counters,
        stop,
        ended,
    }
}

/// Says nothing.
pub(super) const NOTHING: &Question = &Question {
    service: String::new(),
};

pub(super) fn question(text: &str) -> Question {
    let service = text.to_owned();
    Question { service }
}

/// A numbered frame of some size.
pub(super) fn told(number: i32) -> Frame {
    Frame::of(&Told { status: number })
}

impl Running {
    pub(super) fn connect(&self) -> DuplexStream {
        self.connect_by(64 * 1024)
    }

    /// With room for so much on the way.
    fn connect_by(&self, room: usize) -> DuplexStream {
        let (ours, theirs) = duplex(room);
        self.clients.send(theirs).unwrap();
        ours
    }

    pub(super) fn connect_as(&self, uid: u32) -> DuplexStream {
        self.connect_as_by(uid, 64 * 1024)
    }

    pub(super) fn connect_as_by(&self, uid: u32, room: usize) -> DuplexStream {
        let trusted = uid == 0;
        self.tester
            .holders
            .lock()
            .unwrap()
            .push_back(Holder { uid, trusted });
        self.connect_by(room)
    }

    /// Our own client.
    pub(super) async fn client(&self) -> Client {
        Client::open(self.connect(), "localhost", 1 << 20).await.unwrap()
    }

    pub(super) async fn client_as(&self, uid: u32) -> Client {
        Client::open(self.connect_as(uid), "localhost", 1 << 20)
            .await
            .unwrap()
    }

    /// Until this holds.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            tokio::task::yield_now().await;
        }
    }
}

/// Whether a call comes back within no time.
pub(super) async fn works(client: &Client) {
    let began = tokio::time::Instant::now();
    let answer: Question = client.unary(Method::at(ONE), &question("hello")).await.unwrap();
    assert_eq!(answer.service, "hello");
    assert!(
        began.elapsed() < Duration::from_millis(1),
        "{:?}",
        began.elapsed()
    );
}

/// hyper's client: what it gets back of one request.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) head: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

pub(super) async fn ask(stream: DuplexStream, request: Request<Full<Bytes>>) -> Got {
    let (mut sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(driver);
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    driver.abort();
    Got {
        status: head.status,
        head: head.headers,
        trailers: collected.trailers().cloned(),
        body: collected.to_bytes(),
    }
}

pub(super) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://localhost{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(Full::new(body.into()))
        .unwrap()
}
