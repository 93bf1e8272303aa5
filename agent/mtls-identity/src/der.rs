//! As much DER (X.690) as wrapping a private key takes. What it writes may be a key: one piece, wiped on drop.

use zeroize::Zeroizing;

/// Tag, content and what follows of the first element; `None` when it is cut short or not DER.
pub(crate) fn read(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
            let shortest = bytes[0] != 0 && length > 0x7f;
            if !shortest {
                return None;
            }
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The bytes that tag and length of a content take; `None` beyond what a key can be (16 MiB).
fn header(tag: u8, length: usize) -> Option<Vec<u8>> {
    let [high, upper, middle, low] = u32::try_from(length).ok()?.to_be_bytes();
    match (high, upper, middle, low) {
        (0, 0, 0, 0..=0x7f) => Some(vec![tag, low]),
        (0, 0, 0, _) => Some(vec![tag, 0x81, low]),
        (0, 0, _, _) => Some(vec![tag, 0x82, middle, low]),
        (0, _, _, _) => Some(vec![tag, 0x83, upper, middle, low]),
        _ => None,
    }
}

/// PKCS#8 version 1 (RFC 5208): version, algorithm identifier (a whole element), private key.
pub(crate) fn pkcs8(algorithm: &[u8], private_key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const VERSION: &[u8] = &[0x02, 0x01, 0x00];
    let key_header = header(0x04, private_key.len())?;
    let content = VERSION.len() + algorithm.len() + key_header.len() + private_key.len();
    let outer = header(0x30, content)?;
    let mut der = Zeroizing::new(Vec::with_capacity(outer.len() + content));
    for part in [&outer[..], VERSION, algorithm, &key_header, private_key] {
        der.extend_from_slice(part);
    }
    Some(der)
}

/// Algorithm identifier (a whole element) and private key of a PKCS#8 of version 1 or 2 (RFC 5958).
pub(crate) fn read_pkcs8(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, content, []) = read(der)? else {
        return None;
    };
    let (0x02, [0 | 1], rest) = read(content)? else {
        return None;
    };
    let (0x30, _, after) = read(rest)? else {
        return None;
    };
    let algorithm = &rest[..rest.len() - after.len()];
    let (0x04, private_key, _) = read(after)? else {
        return None;
    };
    Some((algorithm, private_key))
}

/// The algorithm identifier (a whole element) of a SubjectPublicKeyInfo.
pub(crate) fn spki_algorithm(spki: &[u8]) -> Option<&[u8]> {
    let (0x30, content, []) = read(spki)? else {
        return None;
    };
    let (0x30, _, after) = read(content)? else {
        return None;
    };
    Some(&content[..content.len() - after.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_wrapped_unwraps(length in 0usize..70_000, fill in any::<u8>()) {
            let key = vec![fill; length];
            let algorithm = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
            let der = pkcs8(&algorithm, &key).unwrap();
            prop_assert_eq!(der.capacity(), der.len(), "one piece");
            prop_assert_eq!(read_pkcs8(&der).unwrap(), (&algorithm[..], &key[..]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = read(&bytes);
            let _ = read_pkcs8(&bytes);
        }
    }

    #[test]
    fn long_forms_that_are_not_the_shortest_are_refused() {
        assert!(read(&[0x04, 0x81, 0x01, 0xff]).is_none());
        assert!(read(&[0x04, 0x82, 0x00, 0x80]).is_none());
        assert!(read(&[0x04, 0x80]).is_none(), "indefinite");
        assert!(read(&[0x04, 0x02, 0x00]).is_none(), "cut short");
    }
}
