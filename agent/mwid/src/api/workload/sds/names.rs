//! What a name means.
//!
//! In: names as callers write them. Out: one of the four things that there are. Never looks at an identity, never repairs a name.
use crate::config::SdsSettings;
use mtls_identity::TrustDomain;

/// What a name asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// The VM's certificate and key.
    Own,
    /// The same, under its SPIFFE ID; another's is not known here.
    Id(&'a str),
    /// The trust bundle of the VM's own domain.
    OwnBundle,
    /// A trust domain's bundle.
    Bundle(TrustDomain),
    /// All bundles, apart from each other.
    AllBundles,
    /// Nothing that could ever be here.
    Nothing,
}

/// The last word in the names' meaning has the config: a configured name is that thing, whatever it looks like.
pub(super) fn asked<'a>(names: &SdsSettings, name: &'a str) -> Asked<'a> {
    match name {
        _ if name == names.default => Asked::Own,
        _ if name == names.root => Asked::OwnBundle,
        _ if name == names.all => Asked::AllBundles,
        _ => spiffe(name),
    }
}

/// A trust domain's own ID has no path, a leaf's always has one: the two cannot be taken for each other.
fn spiffe(name: &str) -> Asked<'_> {
    let Some(rest) = name.strip_prefix("spiffe://") else {
        return Asked::Nothing;
    };
    if rest.contains('/') {
        return Asked::Id(name);
    }
    TrustDomain::parse(rest).map_or(Asked::Nothing, Asked::Bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> SdsSettings {
        SdsSettings::default()
    }

    #[test]
    fn each_name_means_one_thing() {
        let domain = |name| Asked::Bundle(TrustDomain::parse(name).unwrap());
        for (name, wanted) in [
            ("default", Asked::Own),
            ("ROOTCA", Asked::OwnBundle),
            ("ALL", Asked::AllBundles),
            ("spiffe://example.org", domain("example.org")),
            (
                "spiffe://example.org/ns/a",
                Asked::Id("spiffe://example.org/ns/a"),
            ),
            // Not the domain's own ID, and never a leaf's: equal to none.
            ("spiffe://example.org/", Asked::Id("spiffe://example.org/")),
            ("example.org", Asked::Nothing),
            ("spiffe://Example.org", Asked::Nothing),
            ("spiffe://", Asked::Nothing),
            ("rootca", Asked::Nothing),
            ("Default", Asked::Nothing),
            ("", Asked::Nothing),
        ] {
            assert_eq!(asked(&names(), name), wanted, "{name:?}");
        }
    }

    #[test]
    fn the_config_says_which_names() {
        let names = SdsSettings {
            default: "mine".to_owned(),
            root: "spiffe://example.org".to_owned(),
            ..names()
        };
        assert_eq!(asked(&names, "mine"), Asked::Own);
        assert_eq!(asked(&names, "default"), Asked::Nothing);
        assert_eq!(asked(&names, "spiffe://example.org"), Asked::OwnBundle);
    }
}
