//! Why there is no connection, or no longer one. In: what failed. Out: a short name for metrics and words for the log. Never a name whose values
//! others choose.
use super::link::Broken;
use super::proxy_protocol::HeaderError;
use super::shares::Full;
use super::splice::Failure;
use mtls_identity::peer::NotAllowed;
use mtls_identity::tls::{IdentityUnusable, NoLonger, PeerError, PeerRefusal};
use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no handshake is possible without a valid identity of our own")]
    OurIdentity(#[source] IdentityUnusable),
    #[error("we refused the peer in the handshake")]
    Peer(#[source] PeerRefusal),
    #[error("the peer ended the handshake with the alert {0:?}; its log says more than that alert does")]
    ByPeer(AlertDescription),
    #[error("the other side speaks no TLS; it must, at this end of the route")]
    NotTls(#[source] rustls::Error),
    #[error("no common version of TLS; this route speaks TLS 1.3, and 1.2 only with tls12: true")]
    Version(#[source] rustls::Error),
    #[error("no common protocol (ALPN); compare the route's alpn with what the peer offers")]
    Alpn,
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    #[error("the other side closed the connection during the handshake")]
    Closed,
    #[error("the connection broke during the handshake")]
    Io(#[source] io::Error),
    #[error("no handshake within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("others wait for its place, and it made no progress")]
    Displaced,
    #[error("the other side sent bytes before the handshake; nothing of them was passed on")]
    SpokeFirst,
    #[error("the connection is not taken for a load balancer's")]
    Header(#[source] HeaderError),
    #[error("the peer's certificate is too long for a PROXY header; send_proxy: v2 leaves it out")]
    LongHeader,
    #[error("the handshake gives no peer")]
    NoPeer(#[source] PeerError),
    #[error("the peer is not allowed")]
    NotAllowed(#[source] NotAllowed),
    #[error("the peer was let in by rules or roots that changed meanwhile")]
    NoLonger(#[source] Arc<NoLonger>),
    #[error("the connection comes from no load balancer's address (accept_proxy.from)")]
    NotABalancer,
    #[error("the caller is not let in: {0}")]
    Caller(String),
    #[error("the caller has its share")]
    Share(#[source] Full),
    #[error("cannot look up the target {target}")]
    LookUp {
        target: String,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("cannot connect to the target {target}")]
    Connect {
        target: String,
        #[source]
        source: io::Error,
    },
    #[error("no address of the target {target} can be connected to: {tried}")]
    NoneAnswers { target: String, tried: Tried },
    #[error("no target can be connected to: {0}")]
    NoTarget(Tried),
    #[error("no connection to the target {target} within {} s", after.as_secs_f32())]
    ConnectTimeout { target: String, after: Duration },
    #[error("mwid stops, or the route was removed")]
    Over,
}

impl Refusal {
    /// Of a handshake that broke. What we ourselves refuse is told as such.
    pub(super) fn of(broken: Broken) -> Self {
        let error = match broken {
            Broken::Cut => return Self::Closed,
            Broken::Io(error) => return Self::Io(error),
            Broken::Tls(error) => error,
        };
        match (PeerRefusal::of(&error), error) {
            (Some(PeerRefusal::OurIdentity { source }), _) => Self::OurIdentity(source),
            (Some(source), _) => Self::Peer(source),
            (None, rustls::Error::AlertReceived(alert)) => Self::ByPeer(alert),
            (None, rustls::Error::NoApplicationProtocol) => Self::Alpn,
            (None, error) if is_no_tls(&error) => Self::NotTls(error),
            (None, error) if is_version(&error) => Self::Version(error),
            (None, error) => Self::Tls(error),
        }
    }

    /// A short, bounded name.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::OurIdentity(source) => source.reason(),
            Self::Peer(source) => source.reason(),
            Self::ByPeer(_) => "refused_by_peer",
            Self::NotTls(_) => "not_tls",
            Self::Version(_) => "tls_version",
            Self::Alpn => "alpn",
            Self::Tls(_) => "tls",
            Self::Closed => "closed",
            Self::Io(_) => "io",
            Self::Timeout(_) => "timeout",
            Self::Displaced => "displaced",
            Self::SpokeFirst => "spoke_first",
            Self::Header(_) | Self::LongHeader => "proxy_header",
            Self::NoPeer(_) => "no_peer",
            Self::NotAllowed(source) => source.reason(),
            Self::NoLonger(source) => source.reason(),
            Self::NotABalancer => "not_a_balancer",
            Self::Caller(_) => "caller",
            Self::Share(_) => "share",
            Self::LookUp { .. } => "look_up",
            Self::Connect { .. } | Self::NoneAnswers { .. } => "connect",
            Self::NoTarget(_) => "no_target",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Over => "over",
        }
    }
}

impl Refusal {
    /// Whether a target is the worse for it: it did not answer, or not as one who may be there. What we lack, and whoever the connection was for, says
    /// nothing about it.
    pub(super) fn is_the_targets(&self) -> bool {
        match self {
            Self::OurIdentity(_)
            | Self::Displaced
            | Self::Header(_)
            | Self::LongHeader
            | Self::NoLonger(_)
            | Self::NotABalancer
            | Self::Caller(_)
            | Self::Share(_)
            | Self::NoTarget(_)
            | Self::Over => false,
            Self::Connect { source, .. } => !is_our_want(source),
            Self::LookUp { source, .. } => !is_our_want(source),
            Self::NoneAnswers { tried, .. } => !tried.is_our_want(),
            _ => true,
        }
    }
}

/// No descriptor, no memory, no free port or no way out is left on this machine.
fn is_our_want(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EADDRNOTAVAIL)
    )
}

/// Where a connection was tried, and what came of each; of a long list, the first ones and how many more there were.
#[derive(Debug, Default)]
pub(super) struct Tried {
    lines: Vec<String>,
    more: usize,
    /// Some failure is not for want of something here.
    theirs: bool,
}

impl Tried {
    const MOST: usize = 8;
    const LONGEST: usize = 160;

    pub(super) fn add(&mut self, place: &str, why: &impl fmt::Display) {
        if self.lines.len() == Self::MOST {
            self.more += 1;
            return;
        }
        let mut line = format!("{place}: {why}");
        if line.len() > Self::LONGEST {
            line.truncate(line.floor_char_boundary(Self::LONGEST));
            line.push('…');
        }
        self.lines.push(line);
    }

    /// As [`Tried::add`].
    pub(super) fn add_error(&mut self, place: &str, error: &io::Error) {
        self.theirs |= !is_our_want(error);
        self.add(place, error);
    }

    fn is_our_want(&self) -> bool {
        !self.theirs
    }

    /// For these no time was left.
    pub(super) fn leave_out(&mut self, targets: usize) {
        self.more += targets;
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("; "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// What cannot be the beginning of TLS.
fn is_no_tls(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload
        )
    )
}

fn is_version(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        )
    )
}

/// How a connection that was made has ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides said that they have no more.
    Closed,
    /// The peer cut the connection without saying that it has no more.
    Cut,
    /// The stream to the peer broke.
    Peer(io::Error),
    /// The peer broke the rules of TLS, or ended the connection with an alert.
    Tls(rustls::Error),
    /// The stream to the local side broke.
    Local(io::Error),
    /// Nothing came for so long.
    Idle,
    /// One side has ended, and of the other nothing came for so long.
    HalfClosed,
    Lifetime,
    NoLonger(Arc<NoLonger>),
    /// The caller may not use the route any more.
    Caller(String),
    /// The peer broke the rules of HTTP.
    Http(hyper::Error),
    /// The peer took too long for the head of a request.
    SlowHead,
    /// mwid stops, or the route was removed.
    Over,
}

impl End {
    /// A link that ends without TLS saying so is a cut, also when the local side has sent all it had: what the peer sends may lack its end, and
    /// anybody on the way can end a TCP stream (RFC 8446, 6.1).
    pub(super) fn of(failure: Failure) -> Self {
        match failure {
            Failure::Link(Broken::Cut) => Self::Cut,
            Failure::Link(Broken::Io(error)) => Self::Peer(error),
            Failure::Link(Broken::Tls(error)) => Self::Tls(error),
            Failure::Plain(error) => Self::Local(error),
        }
    }

    /// A short, bounded name.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Cut => "cut",
            Self::Peer(_) => "peer_io",
            Self::Tls(rustls::Error::AlertReceived(_)) => "refused_by_peer",
            Self::Tls(_) => "tls",
            Self::Local(_) => "local_io",
            Self::Idle => "idle",
            Self::HalfClosed => "half_closed",
            Self::Lifetime => "lifetime",
            Self::NoLonger(source) => source.reason(),
            Self::Caller(_) => "caller_no_longer",
            Self::Http(_) => "http",
            Self::SlowHead => "slow_head",
            Self::Over => "over",
        }
    }

    /// More words, where the name is not all that there is to say.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::Peer(error) | Self::Local(error) => Some(error.to_string()),
            Self::Tls(error) => Some(error.to_string()),
            Self::Caller(why) => Some(why.clone()),
            Self::Http(error) => Some(crate::report::Causes(error).to_string()),
            Self::NoLonger(source) => Some(crate::report::Causes(&**source).to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    fn connect(errno: Errno) -> Refusal {
        Refusal::Connect {
            target: "a.test:1".to_owned(),
            source: errno.into(),
        }
    }

    fn none_answers(errnos: &[Errno]) -> Refusal {
        let mut tried = Tried::default();
        for errno in errnos {
            tried.add_error("10.0.0.1:1", &(*errno).into());
        }
        Refusal::NoneAnswers {
            target: "a.test:1".to_owned(),
            tried,
        }
    }

    #[test]
    fn what_we_lack_is_held_against_no_target() {
        for (refusal, is_the_targets) in [
            (connect(Errno::ECONNREFUSED), true),
            (connect(Errno::EAGAIN), true), // a Unix socket whose queue is full
            (connect(Errno::EMFILE), false),
            (none_answers(&[Errno::EMFILE, Errno::EMFILE]), false),
            (none_answers(&[Errno::EADDRNOTAVAIL, Errno::ECONNREFUSED]), true),
            (Refusal::Timeout(Duration::ZERO), true),
            (Refusal::OurIdentity(IdentityUnusable::Missing), false),
            (Refusal::Over, false),
        ] {
            assert_eq!(refusal.is_the_targets(), is_the_targets, "{refusal}");
        }
    }

    #[test]
    fn a_long_list_of_what_was_tried_has_an_end() {
        let mut tried = Tried::default();
        for port in 1..=10 {
            tried.add(&format!("10.0.0.1:{port}"), &"é".repeat(1000));
        }
        tried.leave_out(54);
        let text = tried.to_string();
        assert!(
            text.starts_with("10.0.0.1:1: éé") && text.ends_with("…; and 56 more"),
            "{text}"
        );
        assert!(text.len() < 2000);
    }
}
