//! The two kinds of stream, as far as they differ for who carries them. In: a request of a kind. Out: what its session makes of it, and bytes.
use super::metrics::Kind;
use super::secrets::Secrets;
use super::session::delta::Delta;
use super::session::sotw::Sotw;
use super::session::{Answer, MOST_WORDS, Outcome, PLAIN, Refusal};
use super::wire;
use crate::grpc::{Call, Fields, Keep, Pieces};
use crate::proto::envoy::config::core::v3::Node;
use crate::proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;

/// A session and its messages.
pub(super) trait Session: Default + Send + 'static {
    const KIND: Kind;
    type Request: Message + Default;
    /// What is read of a request. An Envoy says in its node all that it was built and configured with, in each request of a stream.
    const FIELDS: Fields;

    fn node(request: &Self::Request) -> Option<&Node>;

    fn request(&mut self, request: &Self::Request, secrets: Option<&Secrets>) -> Result<Outcome, Refusal>;

    fn due(&mut self, secrets: &Secrets) -> Result<Option<Answer>, Refusal>;

    /// How many bytes it keeps of its client's words.
    fn kept(&self) -> usize;

    fn message(answer: &Answer) -> Pieces;

    /// The call, with its requests as they are read here: what is kept of one, while it is looked at, is all that the bounds of names let it say.
    fn asked(call: Call) -> Call {
        call.of_fields(Self::FIELDS, LARGEST, MOST_WORDS)
    }
}

/// A request. What clients of gRPC take of ours.
const LARGEST: usize = 4 * 1024 * 1024;

/// Of a node: `id`, `cluster`, and of its `metadata` what the form of secrets depends on.
const NODE: Keep = Keep::Within(&[
    (1, Keep::Whole),
    (2, Keep::Whole),
    (3, Keep::Within(&[(1, Keep::Entries(&[PLAIN]))])),
]);

impl Session for Sotw {
    const KIND: Kind = Kind::Stream;
    type Request = DiscoveryRequest;
    const FIELDS: Fields = &[
        (1, Keep::Whole),
        (2, NODE),
        (3, Keep::Whole),
        (4, Keep::Whole),
        (5, Keep::Whole),
        (6, Keep::Whole),
    ];

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
    const FIELDS: Fields = &[
        (1, NODE),
        (2, Keep::Whole),
        (3, Keep::Whole),
        (4, Keep::Whole),
        (5, Keep::Whole),
        (6, Keep::Whole),
        (7, Keep::Whole),
    ];

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
