//! A connection to the application for one request that becomes a tunnel. In: the request. Out: its answer, and what keeps and ends the connection. No
//! other stream waits for what a tunnel holds back, and its cut is a cut at the application.
use super::app::{App, NoAnswer, Tasks, http1, http2};
use super::body::Passing;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::DropGuard;

/// For an application to say in HTTP/2 what it can: its first frame.
const SETTINGS_TIME: Duration = Duration::from_secs(2);
/// Between two looks for it.
const SETTINGS_STEP: Duration = Duration::from_millis(2);

/// The connection; it ends when this is dropped.
pub(super) struct Alone {
    cut: Arc<AtomicBool>,
    _ends: DropGuard,
}

impl Alone {
    /// Ends it so that the application does not take that for an end.
    pub(super) fn cut(self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

impl App {
    fn alone(&self) -> (Alone, Tasks) {
        let tasks = Tasks(self.tasks.0.child_token());
        let alone = Alone {
            cut: Arc::default(),
            _ends: tasks.0.clone().drop_guard(),
        };
        (alone, tasks)
    }

    /// Asks in HTTP/1.1.
    pub(super) async fn ask_alone(
        &self,
        request: Request<Passing>,
    ) -> Result<(Response<Incoming>, Alone), NoAnswer> {
        let (alone, tasks) = self.alone();
        let io = self.dial(Some(Arc::clone(&alone.cut))).await?;
        let handshake = http1().handshake(io).await;
        let (mut sender, connection) = handshake.map_err(NoAnswer::Broke)?;
        tasks.run(async move { drop(connection.with_upgrades().await) });
        let answer = sender.send_request(request).await.map_err(NoAnswer::Broke)?;
        Ok((answer, alone))
    }

    /// Asks in HTTP/2, with prior knowledge, and only what the application says that it takes (RFC 8441, 3).
    pub(super) async fn ask_alone_http2(
        &self,
        request: Request<Passing>,
    ) -> Result<(Response<Incoming>, Alone), NoAnswer> {
        let (alone, tasks) = self.alone();
        let io = self.dial(Some(Arc::clone(&alone.cut))).await?;
        let handshake = http2(&tasks).handshake(io).await;
        let (mut sender, connection) = handshake.map_err(NoAnswer::Broke)?;
        // hyper reads meanwhile, and tells nobody.
        let is_taken = async {
            while !connection.is_extended_connect_protocol_enabled() {
                tokio::time::sleep(SETTINGS_STEP).await;
            }
        };
        if tokio::time::timeout(SETTINGS_TIME, is_taken).await.is_err() {
            return Err(NoAnswer::NoExtended);
        }
        // How it ended is told to whoever waits for an answer.
        tasks.run(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.map_err(NoAnswer::Broke)?;
        Ok((answer, alone))
    }
}
