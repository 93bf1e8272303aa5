//! What reads as a bundle map, a bundle or PEM roots is written and read back the same.
#![no_main]
use libfuzzer_sys::fuzz_target;
use mtls_identity::{TrustBundle, TrustBundles, TrustDomain};

fuzz_target!(|bytes: &[u8]| {
    let domain = TrustDomain::parse("example.org").unwrap();
    if let Ok(bundles) = TrustBundles::from_map_json(bytes) {
        let text = bundles.to_map_json();
        let again = TrustBundles::from_map_json(text.as_bytes()).unwrap();
        assert_eq!(again.to_map_json(), text);
    }
    if let Ok(bundle) = TrustBundle::from_spiffe_json(domain.clone(), bytes) {
        let text = bundle.to_spiffe_json();
        let again = TrustBundle::from_spiffe_json(domain.clone(), text.as_bytes()).unwrap();
        assert_eq!(again.to_spiffe_json(), text);
    }
    if let Ok(bundle) = TrustBundle::from_pem(domain.clone(), bytes) {
        let again = TrustBundle::from_pem(domain, bundle.to_pem().as_bytes()).unwrap();
        assert_eq!(again, bundle);
    }
});
