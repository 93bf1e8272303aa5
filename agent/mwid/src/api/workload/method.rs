//! The methods of the service. In: a path. Out: which of them it is. Never anything that the standard does not name.
use crate::proto::workload_methods as paths;

/// A method of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    FetchX509Svid,
    FetchX509Bundles,
    FetchJwtSvid,
    FetchJwtBundles,
    ValidateJwtSvid,
    FetchWitSvid,
    FetchWitBundles,
}

/// Where all of its paths begin.
pub(super) const SERVICE: &str = "/SpiffeWorkloadAPI/";

impl Method {
    pub(super) const ALL: [Self; 7] = [
        Self::FetchX509Svid,
        Self::FetchX509Bundles,
        Self::FetchJwtSvid,
        Self::FetchJwtBundles,
        Self::ValidateJwtSvid,
        Self::FetchWitSvid,
        Self::FetchWitBundles,
    ];

    pub(super) fn find(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    fn path(self) -> &'static str {
        match self {
            Self::FetchX509Svid => paths::FETCH_X509_SVID,
            Self::FetchX509Bundles => paths::FETCH_X509_BUNDLES,
            Self::FetchJwtSvid => paths::FETCH_JWT_SVID,
            Self::FetchJwtBundles => paths::FETCH_JWT_BUNDLES,
            Self::ValidateJwtSvid => paths::VALIDATE_JWT_SVID,
            Self::FetchWitSvid => paths::FETCH_WIT_SVID,
            Self::FetchWitBundles => paths::FETCH_WIT_BUNDLES,
        }
    }

    /// As the standard writes it, `FetchX509SVID`.
    pub(super) fn name(self) -> &'static str {
        self.path().strip_prefix(SERVICE).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_found_by_its_whole_path_alone() {
        for method in Method::ALL {
            assert_eq!(Method::find(&format!("{SERVICE}{}", method.name())), Some(method));
        }
        for path in [
            "",
            "/",
            SERVICE,
            "/SpiffeWorkloadAPI/FetchX509SVID/",
            "/SpiffeWorkloadAPI/fetchx509svid",
        ] {
            assert_eq!(Method::find(path), None, "{path}");
        }
    }
}
