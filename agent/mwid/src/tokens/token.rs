//! Tokens. Their texts are wiped when the last holder lets go; Debug is closed.
use mtls_identity::UnixTime;
use std::collections::BTreeSet;
use std::fmt;
use zeroize::Zeroizing;

/// An access token.
pub(crate) struct AccessToken {
    pub(crate) secret: Zeroizing<String>,
    /// `Bearer`.
    pub(crate) token_type: String,
    pub(crate) expires_at: UnixTime,
}

/// An ID token (a JWT).
pub(crate) struct IdToken {
    pub(crate) secret: Zeroizing<String>,
    pub(crate) expires_at: UnixTime,
}

/// A service account, as the metadata server tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountInfo {
    pub(crate) email: String,
    pub(crate) aliases: Vec<String>,
    /// What a token without asked scopes has; none known: empty.
    pub(crate) scopes: BTreeSet<String>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
