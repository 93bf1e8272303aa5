//! Keys that the design has and this version does not serve. Refused like any unknown key, but with the true reason.

/// What a key path will serve one day.
pub(super) fn serves(key: &str) -> Option<&'static str> {
    Some(match key {
        "tokens" => "tokens",
        "access" => "access rules",
        "proxy" => "the mTLS proxy",
        "api.workload" => "the SPIFFE Workload API",
        "api.metadata" => "the metadata-compatible API",
        "api.credential" => "systemd credentials",
        "identity.source.workload_api" => "identities from a Workload API",
        _ => return None,
    })
}
