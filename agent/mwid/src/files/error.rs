//! Why a file could not be made. In: what failed. Out: words that say what to do. Never holds a byte of a key.
use crate::random::NoRandom;

/// Why there are no files of a generation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("cannot encode {file}; leave its file set out of `files` until this is understood")]
    Store {
        file: &'static str,
        #[source]
        source: Box<p12_keystore::error::Error>,
    },
    #[error(transparent)]
    Random(#[from] NoRandom),
}
