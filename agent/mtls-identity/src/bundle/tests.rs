//! Bundles read and written.
use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use rcgen::KeyUsagePurpose;
use serde_json::json;
use testkit::pki::{Ca, Validity, World};

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn root() -> Ca {
    Ca::root("example.org")
}

fn x5c(ca: &Ca) -> String {
    BASE64_STANDARD.encode(&ca.cert_der)
}

fn x509_key(ca: &Ca) -> Value {
    json!({"use": "x509-svid", "kty": "EC", "x5c": [x5c(ca)]})
}

fn read(set: &Value) -> Result<TrustBundle, BundleError> {
    TrustBundle::from_spiffe_json(domain("example.org"), set.to_string().as_bytes())
}

#[test]
fn pem_reads_back_without_doubles_in_one_order() {
    let (a, b) = (root(), root());
    let pem = format!("{}{}{}", a.cert_pem, b.cert_pem, a.cert_pem);
    let bundle = TrustBundle::from_pem(domain("example.org"), pem.as_bytes()).unwrap();
    assert_eq!(bundle.roots().len(), 2);
    let turned = TrustBundle::from_roots(
        domain("example.org"),
        vec![b.cert_der.clone().into(), a.cert_der.clone().into()],
    );
    assert_eq!(turned.unwrap(), bundle);
    let again = TrustBundle::from_pem(domain("example.org"), bundle.to_pem().as_bytes()).unwrap();
    assert_eq!(again, bundle);
    assert_ne!(
        TrustBundle::from_pem(domain("example.org"), a.cert_pem.as_bytes()).unwrap(),
        bundle
    );
}

#[test]
fn pem_without_a_ca_is_refused() {
    let of = |pem: &str| TrustBundle::from_pem(domain("example.org"), pem.as_bytes()).unwrap_err();
    let world = World::new("example.org");
    let leaf = world.leaf("/a");
    assert!(matches!(of(""), BundleError::NoCertificates));
    assert!(matches!(of(&leaf.key_pem), BundleError::NoCertificates));
    let both = format!("{}{}", world.root.cert_pem, leaf.leaf_pem);
    assert!(matches!(of(&both), BundleError::NotCa { position: 2, .. }));
    assert!(matches!(of(&world.root.cert_pem[..200]), BundleError::Pem(_)));
    let large = "x".repeat(MAX_PEM + 1);
    assert!(matches!(of(&large), BundleError::TooLarge { .. }));
}

#[test]
fn a_root_that_may_not_sign_is_refused() {
    let valid = Validity { from: -60, to: 60 };
    let root = |usages: &[KeyUsagePurpose]| {
        let root = Ca::root_with("example.org", valid, |params| params.key_usages = usages.to_vec());
        TrustBundle::from_roots(domain("example.org"), vec![root.cert_der.into()])
    };
    assert!(matches!(
        root(&[KeyUsagePurpose::CrlSign]),
        Err(BundleError::NotCa { position: 1, .. })
    ));
    root(&[KeyUsagePurpose::KeyCertSign]).unwrap();
    root(&[]).unwrap();
}

#[test]
fn a_spiffe_bundle_reads_back_whole() {
    let jwt =
        json!({"use": "jwt-svid", "kty": "EC", "kid": "k1", "crv": "P-256", "x": "a", "y": "b", "more": [1]});
    let set = json!({
        "keys": [x509_key(&root()), jwt, x509_key(&root())],
        "spiffe_sequence": u64::MAX,
        "spiffe_refresh_hint": 300,
        "other": {"unknown": true},
    });
    let bundle = read(&set).unwrap();
    assert_eq!(bundle.roots().len(), 2);
    assert_eq!(Value::Object(bundle.jwt_keys()[0].clone()), jwt);
    assert_eq!(bundle.sequence(), Some(u64::MAX));
    assert_eq!(bundle.refresh_hint(), Some(Duration::from_secs(300)));
    let text = bundle.to_spiffe_json();
    let again = TrustBundle::from_spiffe_json(domain("example.org"), text.as_bytes()).unwrap();
    assert_eq!(again, bundle);
    assert_eq!(again.sequence(), bundle.sequence());
    assert_eq!(again.refresh_hint(), bundle.refresh_hint());
    assert_eq!(text, bundle.clone().to_spiffe_json(), "the same bytes each time");
}

#[test]
fn roots_and_keys_make_a_bundle_the_same_not_its_sequence() {
    let root = x509_key(&root());
    let jwt = |kid| json!({"use": "jwt-svid", "kty": "EC", "kid": kid});
    let bundle = |keys: &[Value], sequence: u64, hint: u64| {
        read(&json!({"keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": hint})).unwrap()
    };
    let one = bundle(&[root.clone(), jwt("a")], 1, 300);
    assert_eq!(one, bundle(&[jwt("a"), root.clone()], 2, 60));
    assert_ne!(one, bundle(&[root, jwt("b")], 1, 300));
    assert_ne!(one, bundle(&[jwt("a")], 1, 300));
    let elsewhere = TrustBundle::from_spiffe_json(domain("b"), one.to_spiffe_json().as_bytes());
    assert_ne!(one, elsewhere.unwrap());
}

#[test]
fn keys_of_unknown_use_or_type_are_skipped() {
    let set = json!({"keys": [
        {"use": "wit-svid", "kty": "EC"},
        {"use": "sig", "kty": "RSA"},
        {"kty": "EC", "x5c": ["not looked at"]},
        {"use": "x509-svid", "kty": "AKP", "x5c": ["not looked at"]},
        {"use": "jwt-svid", "kty": "oct"},
        x509_key(&root()),
    ]});
    let bundle = read(&set).unwrap();
    assert_eq!((bundle.roots().len(), bundle.jwt_keys().len()), (1, 0));
    assert!(read(&json!({"keys": []})).unwrap().roots().is_empty());
}

#[test]
fn a_broken_member_refuses_the_whole_set() {
    let good = x509_key(&root());
    let with = |member: &str, value: Value| {
        let mut key = x509_key(&root());
        key[member] = value;
        read(&json!({"keys": [good, key]})).unwrap_err()
    };
    let key = |error: &BundleError, wanted: &str| matches!(error, BundleError::Key { position: 2, member, .. } if *member == wanted);
    assert!(key(&with("x5c", json!([])), "x5c"));
    assert!(key(&with("x5c", json!([x5c(&root()), x5c(&root())])), "x5c"));
    assert!(key(&with("x5c", json!("MII")), "x5c"));
    assert!(key(&with("x5c", json!([7])), "x5c"));
    assert!(key(&with("x5c", json!(["-_-_"])), "x5c"));
    assert!(key(&with("use", json!(7)), "use"));
    assert!(key(&with("kty", json!(null)), "kty"));
    let der = with("x5c", json!(["AQID"]));
    assert!(matches!(der, BundleError::Certificate { position: 2, .. }));

    let member = |set: Value| match read(&set).unwrap_err() {
        BundleError::Member { member, .. } => member,
        other => panic!("{other}"),
    };
    assert_eq!(member(json!({})), "keys");
    assert_eq!(member(json!({"keys": {}})), "keys");
    assert_eq!(member(json!([])), "the top level");
    assert_eq!(
        member(json!({"keys": [], "spiffe_sequence": -1})),
        "spiffe_sequence"
    );
    assert_eq!(
        member(json!({"keys": [], "spiffe_sequence": "1"})),
        "spiffe_sequence"
    );
    assert_eq!(
        member(json!({"keys": [], "spiffe_refresh_hint": 1.5})),
        "spiffe_refresh_hint"
    );
    let many = json!({"keys": vec![json!({"kty": "EC"}); MAX_KEYS + 1]});
    assert!(matches!(read(&many), Err(BundleError::TooManyKeys { .. })));
}

#[test]
fn a_key_that_is_there_twice_is_refused_on_every_level() {
    for json in [
        r#"{"keys": [], "keys": []}"#,
        r#"{"keys": [{"use": "sig", "kty": "EC", "use": "x509-svid"}]}"#,
        r#"{"keys": [], "other": [{"deep": {"a": 1, "\u0061": 2}}]}"#,
    ] {
        let of = TrustBundle::from_spiffe_json(domain("example.org"), json.as_bytes());
        assert!(
            matches!(of, Err(BundleError::DuplicateKey { line: 1, .. })),
            "{json}"
        );
    }
    let map = "{\"trust_domains\": {\n\"a\": {\"keys\": []},\n\"a\": {\"keys\": []}}}";
    match TrustBundles::from_map_json(map.as_bytes()) {
        Err(BundleError::DuplicateKey { key, line }) => assert_eq!((key.as_str(), line), ("a", 3)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_follows_the_document_is_refused() {
    let of = |json: &str| TrustBundles::from_map_json(json.as_bytes());
    assert!(of(r#"{"a": {"keys": []}}"#).is_ok());
    assert!(matches!(
        of(r#"{"a": {"keys": []}} {}"#),
        Err(BundleError::Json(_))
    ));
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(matches!(of(&deep), Err(BundleError::Json(_))), "depth is bounded");
}

#[test]
fn a_map_reads_with_and_without_its_wrapper_and_writes_with_it() {
    let set = json!({"keys": [x509_key(&root())]});
    let map = json!({"b.example": set, "a.example": {"keys": []}});
    let bare = TrustBundles::from_map_json(map.to_string().as_bytes()).unwrap();
    let wrapped = json!({"trust_domains": map, "beside": 1});
    let wrapped = TrustBundles::from_map_json(wrapped.to_string().as_bytes()).unwrap();
    assert_eq!(bare, wrapped);
    assert_eq!(bare.len(), 2);
    assert_eq!(bare.get(&domain("b.example")).unwrap().roots().len(), 1);
    let text = bare.to_map_json();
    assert!(
        text.starts_with("{\n  \"trust_domains\": {\n    \"a.example\""),
        "{text}"
    );
    assert_eq!(TrustBundles::from_map_json(text.as_bytes()).unwrap(), bare);
}

#[test]
fn a_trust_domain_may_bear_the_wrappers_name() {
    let bare = TrustBundles::from_map_json(br#"{"trust_domains": {"keys": []}}"#).unwrap();
    assert!(bare.get(&domain("trust_domains")).is_some());
    let wrapped = br#"{"trust_domains": {"trust_domains": {"keys": []}, "keys": {"keys": []}}}"#;
    assert_eq!(TrustBundles::from_map_json(wrapped).unwrap().len(), 2);
    assert!(TrustBundles::from_map_json(br#"{"trust_domains": []}"#).is_err());
}

#[test]
fn one_bundle_at_fault_refuses_the_map_by_name() {
    let map = json!({"a": {"keys": []}, "b": {"keys": 1}});
    match TrustBundles::from_map_json(map.to_string().as_bytes()) {
        Err(BundleError::InDomain { trust_domain, .. }) => assert_eq!(trust_domain.as_str(), "b"),
        other => panic!("{other:?}"),
    }
    for name in ["spiffe://a", "A", "", "a/b"] {
        let map = json!({name: {"keys": []}});
        let of = TrustBundles::from_map_json(map.to_string().as_bytes());
        assert!(matches!(of, Err(BundleError::TrustDomain { .. })), "{name}");
    }
}

#[test]
fn bundles_of_one_domain_are_never_merged() {
    let bundle = |ca: &Ca| TrustBundle::from_roots(domain("a"), vec![ca.cert_der.clone().into()]).unwrap();
    let mut all = TrustBundles::of(bundle(&root()));
    let before = all.clone();
    assert!(matches!(
        all.insert(bundle(&root())),
        Err(BundleError::SecondBundle { .. })
    ));
    assert_eq!(all, before);
}

#[test]
fn written_keys_carry_the_members_of_their_type() {
    let roots = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        let bundle = TrustBundle::from_roots(domain("a"), vec![root]).unwrap();
        let set: Value = serde_json::from_str(&bundle.to_spiffe_json()).unwrap();
        (set["keys"][0].clone(), key.public_key_raw().to_vec())
    };
    let url = |value: &Value| {
        base64::prelude::BASE64_URL_SAFE_NO_PAD
            .decode(value.as_str().unwrap())
            .unwrap()
    };
    for (algorithm, curve) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "P-521"),
    ] {
        let (key, point) = roots(algorithm);
        assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!(curve)));
        assert_eq!([vec![4], url(&key["x"]), url(&key["y"])].concat(), point);
    }
    let (key, point) = roots(&rcgen::PKCS_ED25519);
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(url(&key["x"]), point);
    let (key, _) = roots(&rcgen::PKCS_RSA_SHA256);
    assert_eq!((&key["kty"], &key["e"]), (&json!("RSA"), &json!("AQAB")));
    assert_eq!(url(&key["n"]).len(), 256);
    assert_eq!(key["use"], "x509-svid");
    assert!(key.get("kid").is_none(), "X509-SVID section 6.1");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "[{}\\[\\]\",:a-z0-9]{0,60}") {
        drop(TrustBundles::from_map_json(&bytes));
        drop(TrustBundles::from_map_json(text.as_bytes()));
        drop(TrustBundle::from_pem(domain("a"), &bytes));
    }
}

#[test]
fn the_jwk_set_holds_keys_for_jwt_svids_alone() {
    let key = json!({"use": "jwt-svid", "kty": "EC", "kid": "k1", "crv": "P-256", "x": "a", "y": "b"});
    let mut private = key.clone();
    private["kid"] = "k0".into();
    let public = private.clone();
    private["d"] = "s".into();
    let nameless = json!({"use": "jwt-svid", "kty": "EC"});
    let bundle =
        read(&json!({"keys": [x509_key(&root()), key, private, nameless], "spiffe_sequence": 3})).unwrap();
    let set: Value = serde_json::from_str(&bundle.to_jwks_json()).unwrap();
    let kids = |set: &Value| {
        let mut keys = set["keys"].as_array().unwrap().clone();
        keys.sort_by_key(ToString::to_string);
        keys
    };
    assert_eq!(kids(&set), kids(&json!({"keys": [key, public]})));
    assert_eq!(set.as_object().unwrap().len(), 1);

    let none = TrustBundle::from_roots(domain("example.org"), vec![root().cert_der.into()]).unwrap();
    assert_eq!(none.to_jwks_json(), r#"{"keys":[]}"#);
}

#[test]
fn a_jwt_key_is_added_beside_what_was_there() {
    let key = |value: Value| value.as_object().cloned().unwrap();
    let bundle = read(&json!({"keys": [x509_key(&root())], "spiffe_sequence": 3})).unwrap();
    let good = key(json!({"use": "jwt-svid", "kty": "EC", "kid": "k1"}));
    let more = bundle.clone().with_jwt_key(good.clone()).unwrap();
    assert_eq!((more.roots(), more.sequence()), (bundle.roots(), Some(3)));
    assert_eq!(more.jwt_keys(), std::slice::from_ref(&good));
    assert_ne!(more, bundle);
    for bad in [
        json!({"use": "jwt-svid", "kty": "EC"}),
        json!({"use": "jwt-svid", "kty": "EC", "kid": ""}),
        json!({"use": "x509-svid", "kty": "EC", "kid": "a", "x5c": [x5c(&root())]}),
        json!({"use": "jwt-svid", "kty": "oct", "kid": "a"}),
        json!({"use": "jwt-svid", "kid": "a"}),
    ] {
        let error = bundle.clone().with_jwt_key(key(bad.clone())).unwrap_err();
        assert!(
            matches!(error, BundleError::Key { position: 1, .. }),
            "{bad}: {error}"
        );
    }
}
