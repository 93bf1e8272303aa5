//! What a connection is after both sides agreed to WebSocket: bytes, both ways. In: the two upgrades. Out: how it ended.
use super::app::App;
use super::wire::Busy;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::io::copy_bidirectional;

pub(super) struct Tunnel {
    client: OnUpgrade,
    app: OnUpgrade,
    busy: Busy,
}

impl Tunnel {
    pub(super) fn new(client: OnUpgrade, app: OnUpgrade, busy: Busy) -> Self {
        Self { client, app, busy }
    }

    /// Copies until both sides have said that they have no more, or one breaks off: then the other is broken off too.
    pub(super) async fn run(self, connections: Arc<App>) -> io::Result<()> {
        let Self { client, app, busy } = self;
        let (client, app) = tokio::try_join!(client, app).map_err(io::Error::other)?;
        let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
        let copied = copy_bidirectional(&mut client, &mut app).await;
        if copied.is_err() {
            connections.cut();
        }
        drop(busy);
        copied.map(drop)
    }
}
