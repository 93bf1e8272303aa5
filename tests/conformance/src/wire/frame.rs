//! The five bytes before each message: a flag and a length (gRPC over HTTP2, Length-Prefixed-Message).
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A message with its prefix.
pub fn prefixed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(flag);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}

/// Takes the first whole message from what has come.
pub fn take(from: &mut BytesMut) -> Option<(u8, Bytes)> {
    let head: [u8; 5] = from.get(..5)?.try_into().ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if from.len() - 5 < length {
        return None;
    }
    from.advance(5);
    Some((head[0], from.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let framed = prefixed(1, b"abc");
        let mut seen = BytesMut::new();
        for byte in &framed[..framed.len() - 1] {
            seen.put_u8(*byte);
            assert_eq!(take(&mut seen), None);
        }
        seen.put_slice(b"c!");
        assert_eq!(take(&mut seen), Some((1, Bytes::from_static(b"abc"))));
        assert_eq!(seen, b"!".as_slice());
    }
}
