//! A message of which a part is read, as somebody hostile may write and cut it. What is kept does not depend on the parts in which it comes, is no more
//! than was agreed, and is what the generated code reads of the whole.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::envoy::config::core::v3::Node;
use proto::envoy::service::discovery::v3::DiscoveryRequest;

#[path = "../../../agent/mwid/src/proto/mod.rs"]
mod proto;

#[path = "../../../agent/mwid/src/grpc"]
mod grpc {
    mod frame;
    mod sieve;
    mod sifted;
    mod status;
    mod serve {
        /// Of streams that are read; here none is.
        pub(crate) struct Purse;

        impl Purse {
            pub(crate) fn hold(&mut self, _: usize) -> Result<(), usize> {
                Ok(())
            }
        }
    }
    pub(crate) use sieve::{Fields, Keep};

    /// What is kept, by way of parts of these sizes; none where it is refused.
    pub(crate) fn kept(fields: Fields, bytes: &[u8], cuts: &[u8], most: usize) -> Option<Vec<u8>> {
        let mut sieve = sieve::Sieve::new(fields, bytes.len(), most);
        let (mut kept, mut rest) = (vec![], bytes);
        let mut cuts = cuts.iter().cycle();
        let mut is_over = sieve.pass(&mut &[][..], &mut kept).ok()?;
        while !rest.is_empty() {
            assert!(!is_over, "over before its last byte");
            let cut = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
            let (mut part, after) = rest.split_at(cut.min(rest.len()));
            is_over = sieve.pass(&mut part, &mut kept).ok()?;
            assert!(part.is_empty() && kept.len() <= most);
            rest = after;
        }
        assert!(is_over, "not over with its last byte");
        Some(kept)
    }
}
use grpc::{Fields, Keep};

static FIELDS: Fields = &[
    (
        2,
        Keep::Within(&[
            (1, Keep::Whole),
            (3, Keep::Within(&[(1, Keep::Entries(&["kept", ""]))])),
        ]),
    ),
    (3, Keep::Whole),
    (5, Keep::Whole),
];

/// Whether every entry of a map begins with its key and ends with its value, as all encoders write it: `request` is what was read of `bytes`.
fn is_plain(request: &DiscoveryRequest, bytes: &[u8]) -> bool {
    request.encode_to_vec() == bytes
}

fuzz_target!(|input: (&[u8], u16, &[u8])| {
    let (cuts, most, bytes) = input;
    let most = usize::from(most);
    let at_once = grpc::kept(FIELDS, bytes, &[], most);
    assert_eq!(at_once, grpc::kept(FIELDS, bytes, cuts, most), "the parts matter");
    let (Some(kept), Ok(mut whole)) = (at_once, DiscoveryRequest::decode(bytes)) else {
        return;
    };
    let got = DiscoveryRequest::decode(&kept[..]).unwrap();
    assert_eq!(got.resource_names, whole.resource_names);
    assert_eq!(got.response_nonce, whole.response_nonce);
    assert!(got.type_url.is_empty() && got.error_detail.is_none());
    if is_plain(&whole, bytes) {
        let node = whole.node.take().unwrap_or_default();
        let mut metadata = node.metadata.unwrap_or_default();
        metadata.fields.retain(|key, _| key == "kept");
        let got: Node = got.node.unwrap_or_default();
        assert_eq!((got.id, got.cluster.as_str()), (node.id, ""));
        let kept = got.metadata.unwrap_or_default();
        assert!(
            kept.fields
                .iter()
                .all(|(key, value)| metadata.fields.get(key) == Some(value) || key.is_empty())
        );
    }
});
