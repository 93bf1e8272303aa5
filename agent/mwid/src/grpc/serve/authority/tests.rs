//! What passes as it is, what is overwritten, and that it does not matter in which parts it comes.
use super::filter::Filter;
use proptest::prelude::*;

/// A string of HPACK, not coded.
fn text(text: &[u8]) -> Vec<u8> {
    let length = text.len();
    let mut bytes = match u8::try_from(length) {
        Ok(length @ ..127) => vec![length],
        _ => {
            let rest = length - 127;
            let mut bytes = vec![127];
            if rest > 127 {
                bytes.push(u8::try_from(rest & 127).unwrap() | 128);
                bytes.push(u8::try_from(rest >> 7).unwrap());
            } else {
                bytes.push(u8::try_from(rest).unwrap());
            }
            bytes
        }
    };
    bytes.extend_from_slice(text);
    bytes
}

/// `:authority` by its index, kept in the table or not.
fn authority(first: u8, value: &[u8]) -> Vec<u8> {
    [vec![first], text(value)].concat()
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    [&head[..], payload].concat()
}

fn headers(block: &[u8]) -> Vec<u8> {
    frame(1, 4, block)
}

/// All that passes, in parts of these sizes, over and over; and what passes after the end.
fn passed(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut filter, mut passed) = (Filter::default(), Vec::new());
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        filter.pass(part, &mut passed);
        rest = after;
    }
    filter.end(&mut passed);
    passed
}

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn the_path_of_a_socket_is_overwritten_wherever_it_is_written_out() {
    let bad = b"tmp%2Fx.sock";
    let kept = [vec![0x40], text(b":authority"), text(bad)].concat();
    let coded_name = [
        vec![0x40, 0x88, 0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f],
        text(bad),
    ]
    .concat();
    for block in [
        authority(0x01, bad),
        authority(0x11, bad),
        authority(0x41, bad),
        authority(0x41, b"/var/run/a b.sock"),
        authority(0x41, b"\xff\xfe:%"),
        kept.clone(),
        coded_name,
        [vec![0x83, 0x86], authority(0x41, bad), vec![0xbe]].concat(),
    ] {
        let sent = [SETTINGS, &headers(&block)].concat();
        let came = passed(&sent, &[sent.len()]);
        assert_eq!(came.len(), sent.len());
        assert_ne!(came, sent, "{block:02x?}");
        assert!(!came.contains(&b'%') && !came.contains(&b'/'), "{block:02x?}");
    }
    // The name in the table, by its place there, also once another entry is before it.
    // 63, the second newest, is more than fits into the first byte.
    let by_place = [vec![0x7f, 0x00], text(bad)].concat();
    let later = [vec![0x40], text(b"x-a"), text(b"b"), by_place].concat();
    let sent = [SETTINGS, &headers(&kept), &headers(&later)].concat();
    let came = passed(&sent, &[7]);
    assert!(!came.contains(&b'%'), "{came:02x?}");
    assert_eq!(came.len(), sent.len());
}

#[test]
fn padding_and_priority_are_not_taken_for_headers() {
    let block = authority(0x41, b"a%2Fb");
    let padded = [vec![3], vec![0, 0, 0, 0, 16], block.clone(), vec![1, 1, 1]].concat();
    let came = passed(&frame(1, 4 | 8 | 0x20, &padded), &[5]);
    assert_eq!(
        came,
        frame(
            1,
            4 | 8 | 0x20,
            &[
                vec![3],
                vec![0, 0, 0, 0, 16],
                authority(0x41, b"a-2Fb"),
                vec![1, 1, 1],
            ]
            .concat()
        )
    );
    // More padding than there is.
    let wrong = frame(1, 4 | 8, &[vec![200], block].concat());
    assert_eq!(passed(&wrong, &[5]), wrong);
}

#[test]
fn who_starts_with_a_legal_authority_or_in_a_way_that_is_not_followed_is_left_alone() {
    let bad = headers(&authority(0x41, b"a%2Fb"));
    for first in [
        headers(&authority(0x41, b"localhost")),
        headers(&authority(0x41, b"localhost:80")),
        headers(&[0x83, 0x86]),
        // Not whole: CONTINUATION follows.
        frame(1, 0, &authority(0x41, b"a%2Fb")),
        frame(9, 4, &authority(0x41, b"a%2Fb")),
        // A table that is larger than agreed; an entry that nobody knows; a length without end.
        headers(&[0x3f, 0xff, 0xff, 0x7f]),
        headers(&[0x7f, 0x80, 0x01]),
        headers(&[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff]),
        // Longer than its frame.
        headers(&[0x41, 20, b'%']),
    ] {
        let is_skipped = first[3] == 9;
        let sent = [SETTINGS, &first, &bad].concat();
        assert_eq!(passed(&sent, &[11]) == sent, !is_skipped, "{first:02x?}");
    }
}

#[test]
fn an_entry_that_is_too_large_for_the_table_does_not_shift_it() {
    let bad = b"a%2Fb";
    let large = [vec![0x40], text(b"x-large"), text(&[b'x'; 4096])].concat();
    // The table is empty after it, so that the next one is the newest.
    let second = [large, authority(0x41, bad), vec![0x7e], text(b"/")].concat();
    let sent = [headers(&authority(0x41, bad)), headers(&second)].concat();
    let came = passed(&sent, &[1000]);
    assert!(!came.contains(&b'%') && !came.contains(&b'/'));
    // A table of no size keeps nothing.
    let none = [vec![0x20], authority(0x41, bad), vec![0x7e], text(b"/")].concat();
    let sent = [headers(&authority(0x41, bad)), headers(&none)].concat();
    let came = passed(&sent, &[1000]);
    assert!(
        !came.ends_with(b"-"),
        "the entry is gone, so nothing is known of it"
    );
}

/// A block of headers without an illegal authority, as an encoder may write it.
fn good_block() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        (1_u8..62).prop_map(|index| vec![0x80 | index]),
        ("[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(name, value)| { [vec![0x40], text(name.as_bytes()), text(&value)].concat() }),
        ("[a-z]{1,9}(:[0-9]{1,5})?").prop_map(|value| authority(0x41, value.as_bytes())),
        (2_u8..15, "[ -~]{0,30}")
            .prop_map(|(index, value)| { [vec![0x10 | index], text(value.as_bytes())].concat() }),
        (0_u8..31).prop_map(|size| vec![0x20 | size]),
    ];
    proptest::collection::vec(field, 0..8).prop_map(|fields| fields.concat())
}

fn good_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        good_block().prop_map(|block| headers(&block)),
        // CONTINUATION, too, which nobody expects there.
        (
            prop_oneof![Just(0_u8), 2..12_u8],
            any::<u8>(),
            proptest::collection::vec(any::<u8>(), 0..300)
        )
            .prop_map(|(kind, flags, payload)| frame(kind, flags, &payload)),
    ]
}

proptest! {
    #[test]
    fn what_has_no_illegal_authority_passes_as_it_is(
        frames in proptest::collection::vec(good_frame(), 0..8),
        sizes in proptest::collection::vec(1_usize..40, 1..5),
    ) {
        let sent = frames.concat();
        prop_assert_eq!(passed(&sent, &sizes), sent);
    }

    #[test]
    fn the_parts_in_which_bytes_come_do_not_matter_and_none_is_lost(
        frames in proptest::collection::vec(prop_oneof![
            good_frame(),
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|value| headers(&authority(0x41, &value))),
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|block| headers(&block)),
            proptest::collection::vec(any::<u8>(), 0..30),
        ], 0..8),
        sizes in proptest::collection::vec(1_usize..40, 1..5),
    ) {
        let sent = frames.concat();
        let whole = passed(&sent, &[sent.len().max(1)]);
        prop_assert_eq!(whole.len(), sent.len());
        prop_assert_eq!(&passed(&sent, &sizes), &whole);
        prop_assert_eq!(&passed(&sent, &[1]), &whole);
    }
}
