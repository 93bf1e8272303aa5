//! Which fields are in a message, whether its type knows them or not.
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use std::collections::BTreeSet;

/// The numbers of the fields in an encoded message.
pub fn numbers(mut message: &[u8]) -> Result<BTreeSet<u32>, prost::DecodeError> {
    let mut numbers = BTreeSet::new();
    while message.has_remaining() {
        let (number, kind) = decode_key(&mut message)?;
        numbers.insert(number);
        skip_field(kind, number, &mut message, DecodeContext::default())?;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::sds::DeltaResponse;
    use prost::Message;

    #[test]
    fn every_field_counts_once() {
        let message = DeltaResponse {
            nonce: "1".to_owned(),
            removed: vec!["a".to_owned(), "b".to_owned()],
            ..DeltaResponse::default()
        };
        assert_eq!(numbers(&message.encode_to_vec()).unwrap(), [5, 6].into());
        assert!(numbers(&[0x0a, 9, 1]).is_err(), "shorter than it says");
    }
}
