//! What Envoy would see in each secret.
use super::super::testing::{OWN, World};
use super::*;
use crate::proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use crate::proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use prost::Message;
use tls::secret::Type;

fn secrets(identity: &Arc<IdentitySnapshot>, form: Form) -> Secrets {
    Secrets::new(Arc::clone(identity), Arc::default(), form)
}

fn identity() -> Arc<IdentitySnapshot> {
    World::new().payments().identity
}

fn read(secret: &Secret) -> Type {
    tls::Secret::decode(&secret.body[..]).unwrap().r#type.unwrap()
}

fn bytes(data: Option<DataSource>) -> String {
    let Some(Specifier::InlineBytes(bytes)) = data.unwrap().specifier else {
        panic!("not inline");
    };
    String::from_utf8(bytes).unwrap()
}

/// Trust domains and their roots in the SPIFFE validator's config.
fn validator(secret: &Secret) -> Vec<(String, String)> {
    let Type::ValidationContext(context) = read(secret) else {
        panic!("no validation context");
    };
    assert!(context.trusted_ca.is_none(), "two validators");
    let config = context.custom_validator_config.unwrap();
    assert_eq!(config.name, "envoy.tls.cert_validator.spiffe");
    let config = config.typed_config.unwrap();
    assert_eq!(
        config.type_url,
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
    );
    let config = tls::SpiffeCertValidatorConfig::decode(&*config.value).unwrap();
    let domains = config.trust_domains.into_iter();
    domains
        .map(|domain| (domain.name, bytes(domain.trust_bundle)))
        .collect()
}

fn trusted_ca(secret: &Secret) -> String {
    let Type::ValidationContext(context) = read(secret) else {
        panic!("no validation context");
    };
    assert!(context.custom_validator_config.is_none(), "two validators");
    bytes(context.trusted_ca)
}

#[test]
fn the_own_certificate_comes_with_its_key_under_both_names() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Spiffe);
    let own = secrets.find("default").unwrap();
    assert!(Arc::ptr_eq(&own, &secrets.find(OWN).unwrap()), "encoded twice");
    let Type::TlsCertificate(certificate) = read(&own) else {
        panic!("no certificate");
    };
    assert_eq!(bytes(certificate.certificate_chain), identity.chain_pem());
    let key = bytes(certificate.private_key);
    assert_eq!(key, *identity.private_key_pem());
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn each_domain_has_its_own_roots_and_no_others() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Spiffe);
    let pem = |domain: &str| {
        let domain = TrustDomain::parse(domain).unwrap();
        identity.bundles().get(&domain).unwrap().to_pem()
    };
    let (own, other) = (pem("example.org"), pem("other.example"));
    assert_ne!(own, other);
    let one = |name: &str, pem: &str| vec![(name.to_owned(), pem.to_owned())];
    let found = |name: &str| secrets.find(name).unwrap();
    assert_eq!(validator(&found("ROOTCA")), one("example.org", &own));
    assert_eq!(
        validator(&found("spiffe://example.org")),
        one("example.org", &own)
    );
    assert_eq!(
        validator(&found("spiffe://other.example")),
        one("other.example", &other)
    );
    let all = [one("example.org", &own), one("other.example", &other)].concat();
    assert_eq!(validator(&found("ALL")), all);
}

#[test]
fn plain_roots_are_those_of_one_domain_and_all_is_refused() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Plain);
    let own = TrustDomain::parse("example.org").unwrap();
    let pem = identity.bundles().get(&own).unwrap().to_pem();
    assert_eq!(trusted_ca(&secrets.find("ROOTCA").unwrap()), pem);
    assert_eq!(trusted_ca(&secrets.find("spiffe://example.org").unwrap()), pem);
    let other = trusted_ca(&secrets.find("spiffe://other.example").unwrap());
    assert!(!other.is_empty() && other != pem);
    let missing = secrets.find("ALL").unwrap_err();
    assert!(missing.is_for_good());
    assert!(
        missing
            .to_string()
            .contains("each domain could speak for every other"),
        "{missing}"
    );
}

#[test]
fn what_is_not_here_is_said_with_what_is() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Spiffe);
    for (name, words) in [
        ("defualt", &["`default`", OWN, "`ROOTCA`", "`ALL`"][..]),
        ("spiffe://example.org/ns/shop/sa/other", &["no such secret", OWN]),
        (
            "spiffe://third.example",
            &["third.example is not known here", "example.org, other.example"],
        ),
    ] {
        let missing = secrets.find(name).unwrap_err();
        assert!(!missing.is_for_good(), "{name}");
        for word in words {
            assert!(missing.to_string().contains(word), "{name}: {missing}");
        }
    }
}

#[test]
fn a_domain_without_roots_is_left_out_and_never_an_empty_trusted_ca() {
    let identity = World::new().with_empty("empty.example").identity;
    for form in [Form::Spiffe, Form::Plain] {
        let secrets = secrets(&identity, form);
        let missing = secrets.find("spiffe://empty.example").unwrap_err();
        assert!(missing.to_string().contains("trusts nobody"), "{missing}");
        assert!(!secrets.everything().any(|name| name.contains("empty")));
    }
    let all = secrets(&identity, Form::Spiffe).find("ALL").unwrap();
    let names: Vec<_> = validator(&all).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["example.org", "other.example"]);
}

#[test]
fn everything_is_each_thing_once() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Spiffe);
    let names: Vec<_> = secrets.everything().collect();
    assert_eq!(
        names.iter().map(|name| &**name).collect::<Vec<_>>(),
        [OWN, "spiffe://example.org", "spiffe://other.example"]
    );
    assert!(names.iter().all(|name| secrets.find(name).is_ok()));
}

#[test]
fn versions_follow_the_contents_and_nothing_else() {
    let world = World::new();
    let (first, again) = (world.payments(), world.payments());
    let of = |identity: &Arc<IdentitySnapshot>, form, name: &str| {
        secrets(identity, form).find(name).unwrap().version.clone()
    };
    // As after a restart: another snapshot of the same.
    let same = world.again(&first);
    for name in ["default", "ROOTCA", "ALL"] {
        let version = of(&first.identity, Form::Spiffe, name);
        assert_eq!(version, of(&same, Form::Spiffe, name), "{name}");
        assert!(version.len() == 32 && version.bytes().all(|b| b.is_ascii_hexdigit()));
    }
    let all = |identity| secrets(identity, Form::Spiffe).version().clone();
    assert_eq!(all(&first.identity), all(&same));
    // A renewed certificate under the same roots.
    assert_ne!(all(&first.identity), all(&again.identity));
    assert_ne!(
        of(&first.identity, Form::Spiffe, "default"),
        of(&again.identity, Form::Spiffe, "default")
    );
    assert_eq!(
        of(&first.identity, Form::Spiffe, "ROOTCA"),
        of(&again.identity, Form::Spiffe, "ROOTCA")
    );
    // The same roots for another validator are another secret.
    assert_ne!(
        of(&first.identity, Form::Spiffe, "ROOTCA"),
        of(&first.identity, Form::Plain, "ROOTCA")
    );
}

#[test]
fn debug_shows_no_key() {
    let identity = identity();
    let secrets = secrets(&identity, Form::Spiffe);
    let own = secrets.find("default").unwrap();
    let shown = format!("{own:?} {secrets:?}");
    assert!(shown.contains(&*own.version) && shown.len() < 200, "{shown}");
}
