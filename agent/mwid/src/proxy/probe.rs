//! Tries an outbound route once, without a caller. In: its settings, an identity. Out: who is there, or why it would not work. Passes no byte on.
use super::handshake::{self, close_gently, dismiss};
use super::link::{Broken, Link};
use super::refusal::Refusal;
use super::route::{Rules, client, server_name};
use super::scratch;
use super::target;
use super::tls::Tls;
use crate::config::{RouteSettings, Target};
use crate::http::Stream;
use crate::report::Causes;
use mtls_identity::peer::PeerRole;
use mtls_identity::{Clock, Peer, Reader};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::CryptoProvider;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the other side may take to refuse our certificate: a TLS 1.3 client is done before its server has judged it.
const VERDICT: Duration = Duration::from_millis(500);

/// Why a route would not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// As metrics have it.
    pub(crate) reason: &'static str,
    /// With all causes.
    pub(crate) text: String,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason: refusal.reason(),
            text: Causes(&refusal).to_string(),
        }
    }
}

/// Connects to one of the targets, does the handshake and decides, as the route would for a caller.
pub(crate) async fn probe(
    settings: &RouteSettings,
    target: &Target,
    reader: Reader,
    provider: Arc<CryptoProvider>,
    clock: Clock,
) -> Result<Peer, Trouble> {
    let config = match client(settings, reader, provider, clock) {
        Ok(made) => made,
        Err(error) => {
            return Err(Trouble {
                reason: "tls",
                text: Causes(&error).to_string(),
            });
        }
    };
    let stream = target::try_one(target, settings.timeouts.connect).await?;
    Ok(meet(stream, &config, target, settings, &Rules::of(settings)).await?)
}

/// Whether an application of an inbound route takes connections. It sees one without a byte.
pub(crate) async fn reach(settings: &RouteSettings, target: &Target) -> Result<(), Trouble> {
    target::try_one(target, settings.timeouts.connect).await?;
    Ok(())
}

/// The handshake and the decision, and whether the other side takes us too.
pub(super) async fn meet(
    mut stream: Stream,
    config: &Arc<ClientConfig>,
    target: &Target,
    settings: &RouteSettings,
    rules: &Rules,
) -> Result<Peer, Refusal> {
    if handshake::speaks_first(&mut stream).await {
        return Err(Refusal::SpokeFirst);
    }
    let name = server_name(settings, target);
    let tls = UnbufferedClientConnection::new(Arc::clone(config), name).map_err(Refusal::Tls)?;
    let shaken = timeout(
        settings.timeouts.handshake,
        handshake::shake(stream, Tls::Client(tls)),
    );
    let mut link = match shaken.await {
        Ok(Ok((link, _))) => link,
        Ok(Err(failed)) => {
            close_gently(failed.link).await;
            return Err(failed.refusal);
        }
        Err(_elapsed) => return Err(Refusal::Timeout(settings.timeouts.handshake)),
    };
    let peer = Peer::of(link.tls.state(), PeerRole::Server).map_err(Refusal::NoPeer)?;
    let decided = rules.decide(&peer);
    decided.map_err(Refusal::NotAllowed)?;
    verdict(&mut link).await?;
    dismiss(link).await;
    Ok(peer)
}

/// Waits a moment for the other side's refusal. Anything else that it says, and silence, is content.
async fn verdict(link: &mut Link) -> Result<(), Refusal> {
    let read = poll_fn(|cx| scratch::with(|scratch| link.poll_take(scratch, cx)));
    match timeout(VERDICT, read).await {
        Ok(Err(Broken::Tls(error))) => Err(Refusal::of(Broken::Tls(error))),
        _ => Ok(()),
    }
}
