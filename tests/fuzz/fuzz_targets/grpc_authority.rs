//! What a client of HTTP/2 sends first. As many bytes come out as went in, whatever the parts in which they came; only bytes that no authority may
//! hold are other ones, and are `-`; little is held back; and what passed once passes again as it is.
#![no_main]
use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/mwid/src/grpc/serve/authority/filter.rs"]
mod filter;
#[path = "../../../agent/mwid/src/grpc/serve/authority/hpack.rs"]
mod hpack;

/// The head of a frame, and the largest payload that is held.
const MOST_HELD: usize = 9 + 16 * 1024;

fn passed(bytes: &[u8], cuts: &[u8]) -> Vec<u8> {
    let (mut filter, mut out, mut rest, mut given) = (filter::Filter::default(), vec![], bytes, 0);
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
        let (part, after) = rest.split_at(length.min(rest.len()));
        filter.pass(part, &mut out);
        rest = after;
        given += part.len();
        assert!(out.len() <= given && given - out.len() <= MOST_HELD);
        assert!(!filter.is_done() || out.len() == given, "held after its end");
    }
    filter.end(&mut out);
    assert_eq!(out.len(), bytes.len());
    out
}

/// A HEADERS frame around a block, of such flags.
fn headers(flags: u8, block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], 1, flags, 0, 0, 0, 1];
    frame.extend_from_slice(block);
    frame
}

fuzz_target!(|input: (&[u8], Vec<(u8, &[u8])>)| {
    let (cuts, parts) = input;
    // Frames as they come, and blocks of headers in frames that are followed.
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|(choice, bytes)| match choice % 4 {
            0 => bytes.to_vec(),
            1 => headers(0x5 | choice & 0x28, bytes),
            _ => {
                // `:authority`, written out.
                let mut block = vec![[0x01, 0x41, 0x11][usize::from(choice % 3)]];
                let value = &bytes[..bytes.len().min(126)];
                block.push(u8::try_from(value.len()).unwrap());
                block.extend_from_slice(value);
                headers(0x5, &block)
            }
        })
        .collect();
    let whole = passed(&bytes, &[]);
    assert!(whole == passed(&bytes, cuts), "the parts matter");
    for (before, after) in bytes.iter().zip(&whole) {
        let may_stay = before.is_ascii_alphanumeric() || matches!(before, b'-' | b'.');
        assert!(before == after || !may_stay && *after == b'-');
    }
    assert!(passed(&whole, cuts) == whole, "touched again");
});
