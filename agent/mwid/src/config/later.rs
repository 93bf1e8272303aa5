//! Keys that the design has and this version does not serve. Refused like any unknown key, but with the true reason.

/// What a key path will serve one day.
pub(super) fn serves(key: &str) -> Option<&'static str> {
    Some(match without_indexes(key).as_str() {
        "proxy.http" => "the proxy that adds ID tokens",
        "tokens.source.x509_federation" => "tokens in exchange for the X.509 identity",
        _ => return None,
    })
}

/// `access[3].may` as `access[].may`: a key is the same in every item of a list.
fn without_indexes(key: &str) -> String {
    let mut in_brackets = false;
    key.chars()
        .filter(|c| {
            in_brackets = in_brackets && *c != ']' || *c == '[';
            !in_brackets || *c == '['
        })
        .collect()
}
