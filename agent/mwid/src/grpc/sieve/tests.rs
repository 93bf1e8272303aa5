//! Messages that are passed, and what is left of them.
use super::*;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Message)]
struct Outer {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    #[prost(message, optional, tag = "2")]
    inner: Option<Inner>,
    #[prost(bytes = "vec", tag = "4")]
    heavy: Vec<u8>,
    #[prost(uint64, tag = "5")]
    number: u64,
    #[prost(fixed64, tag = "6")]
    eight: u64,
    #[prost(fixed32, tag = "17")]
    four: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(btree_map = "string, bytes", tag = "3")]
    map: BTreeMap<String, Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    heavy: Vec<Vec<u8>>,
}

static FIELDS: Fields = &[
    (1, Keep::Whole),
    (
        2,
        Keep::Within(&[(1, Keep::Whole), (3, Keep::Entries(&["wanted", "too"]))]),
    ),
];

/// The message as it comes in parts of these sizes, what is kept of it at the most, and whether it was over with its last byte.
fn passed(bytes: &[u8], cuts: &[usize], most: usize) -> Result<Vec<u8>, Broken> {
    let mut sieve = Sieve::new(FIELDS, bytes.len(), most);
    let (mut kept, mut rest) = (vec![], bytes);
    let mut cuts = cuts.iter().cycle();
    let mut is_over = sieve.pass(&mut &[][..], &mut kept)?;
    while !rest.is_empty() {
        assert!(!is_over, "over before its last byte");
        let cut = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
        let (mut part, after) = rest.split_at(cut);
        is_over = sieve.pass(&mut part, &mut kept)?;
        assert!(part.is_empty(), "bytes of the message were left");
        rest = after;
    }
    assert!(is_over, "not over with its last byte");
    Ok(kept)
}

prop_compose! {
    fn outer()(
        names in prop::collection::vec("[a-z]{0,200}", 0..4),
        id in "[a-z]{0,9}",
        map in prop::collection::btree_map("wanted|too|other|[a-z]{0,130}", prop::collection::vec(any::<u8>(), 0..300), 0..6),
        heavy in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
        (number, eight, four) in any::<(u64, u64, u32)>(),
    ) -> Outer {
        let all = heavy.concat();
        let inner = Inner { id, map, heavy };
        Outer { names, inner: Some(inner), heavy: all, number, eight, four }
    }
}

proptest! {
    #[test]
    fn what_is_kept_is_what_was_asked_for(message in outer(), cuts in prop::collection::vec(1_usize..40, 0..9)) {
        let kept = passed(&message.encode_to_vec(), &cuts, usize::MAX).unwrap();
        let got = Outer::decode(&kept[..]).unwrap();
        let mut wanted = Outer { names: message.names, ..Outer::default() };
        let mut inner = message.inner.unwrap();
        inner.heavy.clear();
        inner.map.retain(|key, _| key == "wanted" || key == "too");
        // A message of which nothing is kept is not there.
        wanted.inner = (inner != Inner::default()).then_some(inner);
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_passed(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1_usize..40, 0..9)) {
        let at_once = passed(&bytes, &[], 100);
        prop_assert!(at_once.as_ref().is_ok_and(|kept| kept.len() <= 100) || at_once.is_err());
        let in_parts = passed(&bytes, &cuts, 100);
        prop_assert_eq!(at_once.ok(), in_parts.ok());
    }
}

#[test]
fn what_is_not_kept_costs_nothing_and_what_is_kept_has_a_bound() {
    let heavy = Outer {
        heavy: vec![7; 1 << 20],
        names: vec!["a".repeat(90)],
        ..Outer::default()
    };
    let bytes = heavy.encode_to_vec();
    assert_eq!(passed(&bytes, &[4096], 100).unwrap().len(), 92);
    let Err(Broken::TooLarge { length, largest }) = passed(&bytes, &[4096], 91) else {
        panic!("kept");
    };
    assert_eq!((length, largest), (92, 91));
}

/// Of this number, around these bytes.
fn group(number: u64, around: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    encode_varint(number << 3 | GROUP, &mut bytes);
    bytes.extend_from_slice(around);
    encode_varint(number << 3 | GROUPS_END, &mut bytes);
    bytes
}

#[test]
fn groups_are_left_out_like_all_that_nobody_asked_for() {
    let (name, inner) = ([0x0a, 1, b'a'], [0x12, 3, 0x0a, 1, b'b']);
    let name_in_group = group(
        7,
        &[&name[..], &inner, &group(1, &[0x08, 1]), &[0x31; 9]].concat(),
    );
    let in_message = [&[0x12, 8][..], &group(2, &[0x0a, 1, b'x']), &inner[2..]].concat();
    let all = [&name_in_group[..], &name, &group(99, &[]), &in_message].concat();
    for cuts in [&[][..], &[1], &[2, 3]] {
        let kept = passed(&all, cuts, 100).unwrap();
        let (got, wanted) = (
            Outer::decode(&kept[..]).unwrap(),
            Outer::decode(&[&name[..], &inner].concat()[..]).unwrap(),
        );
        assert_eq!(got, wanted, "{cuts:?}");
        assert_eq!(
            Outer::decode(&all[..]).unwrap(),
            wanted,
            "the generated code says the same"
        );
    }
    let deep = |levels| (0..levels).fold(vec![], |within, _| group(7, &within));
    assert!(passed(&deep(100), &[], 0).unwrap().is_empty());
    assert!(Outer::decode(&deep(100)[..]).is_ok());
    let in_message = [&[0x12, 200, 1][..], &deep(100)].concat();
    let shallow = [&[0x12, 198, 1][..], &deep(99)].concat();
    for (bytes, what) in [
        (deep(101), "too deep"),
        (in_message, "too deep in a message"),
        (vec![0x3b], "no end"),
        (vec![0x3c], "no start"),
        (vec![0x3b, 0x44], "another's end"),
        (vec![0x12, 1, 0x3b, 0x3c], "an end outside of its message"),
    ] {
        let refused = passed(&bytes, &[], 100);
        assert!(matches!(refused, Err(Broken::Fields)), "{what}");
        assert!(Outer::decode(&bytes[..]).is_err(), "{what}");
    }
    assert!(passed(&shallow, &[], 0).is_ok() && Outer::decode(&shallow[..]).is_ok());
}

#[test]
fn a_field_that_is_longer_than_its_message_is_refused() {
    for bytes in [
        &[0x0a, 2, b'a'][..],
        &[0x12, 3, 0x0a, 2, b'a'],
        &[0x31, 0, 0],
        &[0x08],
        &[0x0b],
        &[0x07],
        &[0x00, 0],
        &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
    ] {
        assert!(
            matches!(passed(bytes, &[], 100), Err(Broken::Fields)),
            "{bytes:?}"
        );
    }
}
