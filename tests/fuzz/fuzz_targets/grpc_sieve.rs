//! A message of which a part is read, as somebody hostile may write and cut it. What is kept does not depend on the parts in which it comes, is no more
//! than was agreed, and is what the generated code reads of the whole: each kept field, byte for byte and in turn, and nothing else.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use prost::Message;
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
        Keep::Within(&[(1, Keep::Whole), (3, Keep::Within(&[(1, Keep::Entries(KEYS))]))]),
    ),
    (3, Keep::Whole),
    (5, Keep::Whole),
];

const KEYS: &[&str] = &["kept", ""];
/// The longest entry that is kept.
const LONGEST_ENTRY: usize = 1024;

/// The same message, read as bytes: the generated code says where each field is, and nothing of it is joined or made anything else of.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(message, repeated, tag = "2")]
    node: Vec<Node>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    names: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    nonces: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(bytes = "vec", repeated, tag = "1")]
    ids: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Map>,
}

#[derive(Clone, PartialEq, Message)]
struct Map {
    #[prost(bytes = "vec", repeated, tag = "1")]
    entries: Vec<Vec<u8>>,
}

/// All kept fields of one number each, in turn, wherever they stood: names, nonces, the nodes' ids, the entries of their metadata.
type Fourfold = [Vec<Vec<u8>>; 4];

impl Question {
    fn fields(self) -> Fourfold {
        let (mut ids, mut entries) = (vec![], vec![]);
        for node in self.node {
            ids.extend(node.ids);
            entries.extend(node.metadata.into_iter().flat_map(|map| map.entries));
        }
        [self.names, self.nonces, ids, entries]
    }
}

/// Whether an entry of a map begins with one of the keys, as encoders write it.
fn is_wanted(entry: &[u8]) -> bool {
    let begins_with = |key: &&str| {
        let length = u8::try_from(key.len()).unwrap();
        entry.starts_with(&[&[0x0a, length], key.as_bytes()].concat())
    };
    entry.len() <= LONGEST_ENTRY && KEYS.iter().any(begins_with)
}

/// A message that is well-formed but for what is put in between: each step is a field, the start of a message or of a group, or the end of one.
fn built(steps: &[(u8, &[u8])]) -> Vec<u8> {
    const NUMBERS: [u8; 8] = [1, 2, 3, 5, 2, 3, 1, 15];
    let mut open = vec![(0, vec![])];
    for (step, content) in steps.iter().take(200) {
        let tag = NUMBERS[usize::from(step >> 3 & 7)] << 3;
        let into = &mut open.last_mut().unwrap().1;
        match step & 7 {
            0 => into.extend([tag, content.first().map_or(0, |byte| byte & 0x7f)]),
            1 => into.extend([&[tag | 1], &[7; 8][..]].concat()),
            5 => into.extend([&[tag | 5], &[7; 4][..]].concat()),
            2 => close(into, tag | 2, content),
            // A map's entry that is wanted, perhaps.
            3 => close(into, tag | 2, &[&[0x0a, 4], &b"kept"[..], content].concat()),
            4 => open.push((tag | 2, vec![])),
            6 => open.push((tag | 3, vec![])),
            _ if step & 0x40 != 0 => into.extend_from_slice(content),
            _ => end(&mut open),
        }
    }
    while open.len() > 1 {
        end(&mut open);
    }
    open.remove(0).1
}

/// The end of what was opened last; the whole has none.
fn end(open: &mut Vec<(u8, Vec<u8>)>) {
    let Some((tag, content)) = (open.len() > 1).then(|| open.pop()).flatten() else {
        return;
    };
    let into = &mut open.last_mut().unwrap().1;
    if tag & 7 == 3 {
        into.extend([&[tag], &content[..], &[tag + 1]].concat());
    } else {
        close(into, tag, &content);
    }
}

/// A field with a length.
fn close(into: &mut Vec<u8>, tag: u8, content: &[u8]) {
    into.push(tag);
    prost::encode_length_delimiter(content.len(), into).unwrap();
    into.extend_from_slice(content);
}

fuzz_target!(|input: (&[u8], u16, Vec<(u8, &[u8])>, &[u8])| {
    let (cuts, most, steps, bytes) = input;
    let most = usize::from(most);
    let bytes = &[&built(&steps)[..], bytes].concat()[..];
    let kept = grpc::kept(FIELDS, bytes, &[], usize::MAX);
    assert_eq!(
        kept,
        grpc::kept(FIELDS, bytes, cuts, usize::MAX),
        "the parts matter"
    );
    let fits = kept.clone().filter(|kept| kept.len() <= most);
    assert_eq!(
        fits,
        grpc::kept(FIELDS, bytes, cuts, most),
        "the bound is the size of what is kept"
    );
    let got = kept.as_deref().map(|kept| {
        Question::decode(kept)
            .expect("what is kept is a message")
            .fields()
    });
    if let Ok(whole) = Question::decode(bytes) {
        let mut wanted = whole.fields();
        wanted[3].retain(|entry| is_wanted(entry));
        assert_eq!(got, Some(wanted), "what is kept is what the whole has");
    }
    // The message as the daemon reads it: in what is kept, nothing is left out and nothing has another meaning.
    let (Some(kept), Ok(whole)) = (kept, DiscoveryRequest::decode(bytes)) else {
        return;
    };
    let got = DiscoveryRequest::decode(&kept[..]).unwrap();
    assert_eq!(got.resource_names, whole.resource_names);
    assert_eq!(got.response_nonce, whole.response_nonce);
    assert!(got.type_url.is_empty() && got.version_info.is_empty() && got.error_detail.is_none());
    let (got, whole) = (got.node.unwrap_or_default(), whole.node.unwrap_or_default());
    assert_eq!((got.id, got.cluster.as_str()), (whole.id, ""));
});
