//! A pattern never matches over its trust domain, and without wildcards matches itself alone. Input: pattern, newline, ID.
#![no_main]
use libfuzzer_sys::fuzz_target;
use mtls_identity::{IdPattern, SpiffeId};

fuzz_target!(|text: &str| {
    let (pattern, id) = text.split_once('\n').unwrap_or((text, text));
    let (Ok(pattern), Ok(id)) = (IdPattern::parse(pattern), SpiffeId::parse(id)) else {
        return;
    };
    let matched = pattern.matches(&id);
    assert!(!matched || pattern.trust_domain() == id.trust_domain());
    if !pattern.as_str().contains('*') {
        assert_eq!(matched, pattern.as_str() == id.as_str());
    }
});
