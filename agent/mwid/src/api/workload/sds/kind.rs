//! The two kinds of stream, as far as they differ for who carries them. In: a request of a kind. Out: what its session makes of it, and bytes.
use super::metrics::Kind;
use super::secrets::Secrets;
use super::session::delta::Delta;
use super::session::sotw::Sotw;
use super::session::{Answer, Outcome, Refusal};
use super::wire;
use crate::grpc::Pieces;
use crate::proto::envoy::config::core::v3::Node;
use crate::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;

/// A session and its messages.
pub(super) trait Session: Default + Send + 'static {
    const KIND: Kind;
    type Request: Message + Default;

    fn node(request: &Self::Request) -> Option<&Node>;

    fn request(&mut self, request: &Self::Request, secrets: Option<&Secrets>) -> Result<Outcome, Refusal>;

    fn due(&mut self, secrets: &Secrets) -> Result<Option<Answer>, Refusal>;

    /// How many bytes it keeps of its client's words.
    fn kept(&self) -> usize;

    fn message(answer: &Answer) -> Pieces;
}

impl Session for Sotw {
    const KIND: Kind = Kind::Stream;
    type Request = DiscoveryRequest;

    fn node(request: &DiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn request(&mut self, request: &DiscoveryRequest, secrets: Option<&Secrets>) -> Result<Outcome, Refusal> {
        Self::request(self, request, secrets)
    }

    fn due(&mut self, secrets: &Secrets) -> Result<Option<Answer>, Refusal> {
        Self::due(self, secrets)
    }

    fn kept(&self) -> usize {
        Self::kept(self)
    }

    fn message(answer: &Answer) -> Pieces {
        wire::sotw(answer)
    }
}

impl Session for Delta {
    const KIND: Kind = Kind::Delta;
    type Request = DeltaDiscoveryRequest;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn request(
        &mut self,
        request: &DeltaDiscoveryRequest,
        secrets: Option<&Secrets>,
    ) -> Result<Outcome, Refusal> {
        Self::request(self, request, secrets)
    }

    fn due(&mut self, secrets: &Secrets) -> Result<Option<Answer>, Refusal> {
        Self::due(self, secrets)
    }

    fn kept(&self) -> usize {
        Self::kept(self)
    }

    fn message(answer: &Answer) -> Pieces {
        wire::delta(answer)
    }
}
