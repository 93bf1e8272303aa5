//! What parses as a SPIFFE ID prints the same and is made of allowed parts.
#![no_main]
use libfuzzer_sys::fuzz_target;
use mtls_identity::{SpiffeId, TrustDomain};

fuzz_target!(|text: &str| {
    if let Ok(domain) = TrustDomain::parse(text) {
        assert_eq!(domain.as_str(), text);
        assert!(SpiffeId::parse(&domain.id()).is_ok());
    }
    if let Ok(id) = SpiffeId::parse(text) {
        assert_eq!(format!("{}{}", id.trust_domain().id(), id.path()), text);
        assert!(text.len() <= 2048 && text.is_ascii());
        assert!(!text.contains(['%', '?', '#', '@', '*', ' ']));
        assert!(
            id.path()
                .split('/')
                .skip(1)
                .all(|s| !matches!(s, "" | "." | ".."))
        );
    }
});
