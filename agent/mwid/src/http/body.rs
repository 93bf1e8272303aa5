//! Bodies of requests and answers, with a bound.
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use std::error::Error;
use zeroize::{Zeroize, Zeroizing};

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than the allowed {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    // A body that says that it is too large is refused before it is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Err(e) => Err(BodyError::Broken(e)),
    }
}

/// A copy that is wiped when it is dropped; the original is wiped now, where nobody shares it.
pub(crate) fn wiped(bytes: Bytes) -> Zeroizing<Vec<u8>> {
    let copy = Zeroizing::new(bytes.to_vec());
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
    copy
}
