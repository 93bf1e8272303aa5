//! A platform that tests hold in their hand: what it was asked, what it has, and how it fails.
use super::reply::{self, Reply};
use super::{Platform as Running, ROOT, tree::Node};
use crate::shutdown::Shutdown;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use mtls_identity::Clock;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

/// What it does instead of answering, to everything that is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it answers.
    #[default]
    None,
    /// Answers with a status, with `Retry-After` in seconds if there is one.
    Status(u16, Option<u64>),
    /// Answers later.
    Slow(Duration),
    /// Takes the question and says nothing.
    Silent,
}

#[derive(Default)]
pub(super) struct Switches {
    asked: Mutex<Vec<String>>,
    /// With how many questions it is for; none: for all.
    fault: Mutex<(Fault, Option<u32>)>,
}

/// A running platform; it stops when this is dropped.
pub(crate) struct Platform {
    address: SocketAddr,
    running: Running,
    shutdown: Shutdown,
}

impl Platform {
    pub(crate) fn start(clock: Clock) -> Self {
        let shutdown = Shutdown::default();
        let (address, running) = Running::start(clock, &shutdown).unwrap();
        Self {
            address,
            running,
            shutdown,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked so far, in order: below `computeMetadata/v1/`, with the query; with `POST ` before it if it was one.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.running.0.test.asked.lock().unwrap().clone()
    }

    /// How often something was asked whose path contains `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|path| path.contains(part)).count()
    }

    /// From now on.
    pub(crate) fn fail(&self, fault: Fault) {
        *self.running.0.test.fault.lock().unwrap() = (fault, None);
    }

    /// For the next questions only.
    pub(crate) fn fail_times(&self, fault: Fault, times: u32) {
        *self.running.0.test.fault.lock().unwrap() = (fault, Some(times));
    }

    /// Sets an attribute of the instance, and wakes who waits for it.
    pub(crate) fn set_attribute(&self, name: &str, value: &str) {
        self.set(&format!("instance/attributes/{name}"), value);
    }

    /// Sets a text below `computeMetadata/v1/`, with the directories on its way.
    pub(crate) fn set(&self, path: &str, value: &str) {
        let path: Vec<&str> = ROOT.into_iter().chain(path.split('/')).collect();
        let tree = &self.running.0.tree;
        tree.send_modify(|tree| tree.set(&path, Node::Text(value.to_owned())));
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.ask();
    }
}

impl Switches {
    /// Notes a question. An answer if it is not to get the server's own.
    pub(super) async fn meet(&self, request: &Request<Incoming>) -> Option<Reply> {
        let target = request
            .uri()
            .path_and_query()
            .map_or("", |target| target.as_str());
        let below = target.strip_prefix("/computeMetadata/v1/").unwrap_or(target);
        let method = if request.method() == Method::GET {
            ""
        } else {
            "POST "
        };
        self.asked.lock().unwrap().push(format!("{method}{below}"));
        match self.next() {
            Fault::None => None,
            Fault::Status(status, retry_after) => {
                let mut reply = reply::page(StatusCode::from_u16(status).unwrap(), "A test wants it so.");
                if let Some(seconds) = retry_after {
                    reply.headers_mut().insert("retry-after", seconds.into());
                }
                Some(reply)
            }
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                None
            }
            Fault::Silent => std::future::pending().await,
        }
    }

    fn next(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        match &mut fault.1 {
            None => fault.0,
            Some(0) => Fault::None,
            Some(left) => {
                *left -= 1;
                fault.0
            }
        }
    }
}
