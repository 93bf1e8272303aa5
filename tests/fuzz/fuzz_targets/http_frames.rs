//! Where heads of HTTP/2 begin and end, in bytes of somebody hostile: the same whatever the pieces in which they come, and as one who has all of them at
//! once finds it. Nothing of them is kept.
#![no_main]
use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/mwid/src/proxy/http"]
mod http {
    #[allow(dead_code, reason = "the daemon's file as it is")]
    mod frames;

    pub(crate) struct Frames(frames::Frames);

    impl Frames {
        /// A fixed room, and nothing elsewhere.
        pub(crate) const ROOM: usize = size_of::<frames::Frames>();
        pub(crate) const HOLDS: bool = std::mem::needs_drop::<frames::Frames>();

        pub(crate) fn new() -> Self {
            Self(frames::Frames::new())
        }

        pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
            self.0.take(bytes)
        }

        pub(crate) fn owes(&self) -> bool {
            self.0.owes()
        }
    }
}
use http::Frames;

const _: () = assert!(Frames::ROOM <= 24 && !Frames::HOLDS);

const PREFACE: usize = 24;

/// Whether the rest of a head is owed behind all of these bytes.
fn owes(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(PREFACE..).unwrap_or_default();
    let mut is_open = false;
    loop {
        let Some((begin, after)) = rest.split_first_chunk::<9>() else {
            return is_open || !rest.is_empty();
        };
        let length = u32::from_be_bytes([0, begin[0], begin[1], begin[2]]) as usize;
        let is_head = [1, 9].contains(&begin[3]);
        is_open |= is_head;
        let Some(next) = after.get(length..) else {
            return is_open;
        };
        if is_head && begin[4] & 4 != 0 {
            is_open = false;
        }
        rest = next;
    }
}

/// Frames of right lengths, of few kinds, and maybe anything behind them.
type Input<'a> = (Vec<(u8, u8, &'a [u8])>, &'a [u8], &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (frames, after, sizes) = input;
    let mut bytes = vec![b'P'; PREFACE];
    for (kind, flags, payload) in frames {
        let kind = if kind % 3 == 0 {
            kind
        } else {
            [1, 9][usize::from(kind & 1)]
        };
        bytes.extend_from_slice(&u32::try_from(payload.len()).expect("it is short").to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
        bytes.extend_from_slice(payload);
    }
    bytes.extend_from_slice(after);

    let mut all = Frames::new();
    let whole = all.take(&bytes);
    assert_eq!(all.owes(), owes(&bytes));

    let (mut pieces, mut at, mut whole_in_pieces) = (Frames::new(), 0, false);
    let mut sizes = sizes.iter().map(|size| usize::from(*size));
    while at < bytes.len() {
        let to = bytes.len().min(at + sizes.next().unwrap_or(1).max(1));
        let before = pieces.owes();
        let became = pieces.take(&bytes[at..to]);
        at = to;
        whole_in_pieces |= became;
        assert_eq!(pieces.owes(), owes(&bytes[..at]), "at {at}");
        // Nothing that was owed is forgotten without having become whole.
        assert!(became || !before || pieces.owes(), "at {at}");
    }
    assert_eq!(whole_in_pieces, whole, "the pieces make a difference");
});
