//! Times for people. In: the library's time. Out: the time of status and text. Never reads a clock.
use jiff::Timestamp;
use mtls_identity::UnixTime;

/// A time beyond the year 9999 is shown as its end.
pub(super) fn timestamp(at: UnixTime) -> Timestamp {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

/// RFC 3339, in UTC.
pub(super) fn instant(at: UnixTime) -> String {
    timestamp(at).to_string()
}
