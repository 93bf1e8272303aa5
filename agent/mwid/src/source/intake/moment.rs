//! Times for people. In: the library's time. Out: the time of status and text. Never reads a clock.
use crate::health::status::timestamp;
use mtls_identity::UnixTime;

/// RFC 3339, in UTC.
pub(super) fn instant(at: UnixTime) -> String {
    timestamp(at).to_string()
}
