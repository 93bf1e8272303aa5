//! Whether a hello is whole. In: the first bytes of a connection. Out: whether a handshake could go on with them, or would have to wait for more.

/// With so many bytes nobody waits for more: the handshake takes a hello that is larger as it comes. Those in use have half of it, with a key share of
/// X25519MLKEM768; and all of it fits into the smallest receive window.
pub(super) const MOST: usize = 4 * 1024;

/// Of records and messages (RFC 8446, 5.1 and 4): a handshake, a hello of a client.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The first byte of each version of TLS, as records say it.
const MAJOR: u8 = 3;
/// Of a record that is not encrypted.
const LARGEST: usize = 1 << 14;
/// Of a message: TLS takes none that is larger.
const LONGEST: usize = 0xffff;

/// True also for what is no hello at all, so that whoever sends it hears of that at once.
pub(super) fn is_whole(mut bytes: &[u8]) -> bool {
    if bytes.len() >= MOST {
        return true;
    }
    // A message may begin in one record and go on in others: its first four bytes say how long it is.
    let mut head = [0; 4];
    let mut there = 0;
    loop {
        let [kind, major, _, high, low, rest @ ..] = bytes else {
            let begins_otherwise =
                |at: usize, as_it_should: u8| bytes.get(at).is_some_and(|byte| *byte != as_it_should);
            return begins_otherwise(0, HANDSHAKE) || begins_otherwise(1, MAJOR);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // RFC 8446, 5.1: none of its records is empty, or larger.
        if *kind != HANDSHAKE || *major != MAJOR || length == 0 || length > LARGEST {
            return true;
        }
        let piece = &rest[..length.min(rest.len())];
        for (to, from) in head.iter_mut().skip(there).zip(piece) {
            *to = *from;
        }
        there += piece.len();
        let [message, size @ ..] = head;
        if there > 0 && message != CLIENT_HELLO {
            return true;
        }
        if there >= head.len() {
            let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
            if there >= head.len() + size || size > LONGEST {
                return true;
            }
        }
        if piece.len() < length {
            return false;
        }
        bytes = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message in records of so many bytes each.
    fn records(message: &[u8], each: usize) -> Vec<u8> {
        let record = |piece: &[u8]| {
            let [.., high, low] = piece.len().to_be_bytes();
            [&[HANDSHAKE, 3, 1, high, low], piece].concat()
        };
        message.chunks(each).flat_map(record).collect()
    }

    #[test]
    fn a_hello_is_whole_with_its_last_byte_however_it_is_cut() {
        let mut hello = vec![CLIENT_HELLO, 0, 1, 44];
        hello.resize(4 + 300, 7);
        for each in [1, 2, 3, 4, 5, 100, 303, 304] {
            let bytes = records(&hello, each);
            for there in 0..bytes.len() {
                assert!(
                    !is_whole(&bytes[..there]),
                    "{there} of {} in pieces of {each}",
                    bytes.len()
                );
            }
            assert!(is_whole(&bytes), "in pieces of {each}");
            let more = [&bytes[..], &[20, 3, 3]].concat();
            assert!(is_whole(&more), "with more behind it");
        }
    }

    #[test]
    fn nobody_waits_for_more_of_what_is_no_hello() {
        let others: [&[u8]; 9] = [
            b"G",
            &[21, 3, 3],
            &[HANDSHAKE, 9],
            &[HANDSHAKE, 2, 1, 1, 0],
            &[HANDSHAKE, 3, 1, 0x40, 1],
            &[HANDSHAKE, 3, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 0, 4, CLIENT_HELLO, 1, 0, 0],
            &[HANDSHAKE, 3, 1, 0, 9, 2],
            &[HANDSHAKE, 3, 1, 0, 1, CLIENT_HELLO, 21, 3, 1, 0, 2],
        ];
        for bytes in others {
            assert!(is_whole(bytes), "{bytes:?}");
            assert!(!is_whole(&[]));
        }
    }

    #[test]
    fn nobody_waits_for_a_hello_without_an_end() {
        let mut hello = vec![CLIENT_HELLO, 0, 0xff, 0xff];
        hello.resize(2 * MOST, 0);
        for each in [1, 16 * 1024] {
            let bytes = records(&hello, each);
            assert!(!is_whole(&bytes[..MOST - 1]), "in pieces of {each}");
            assert!(is_whole(&bytes[..MOST]), "in pieces of {each}");
        }
    }
}
