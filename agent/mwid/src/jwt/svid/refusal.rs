//! Why a token is no valid JWT-SVID. In: what was found. Out: words for who handed it in, and a short name for metrics. Never holds any of
//! the token but the trust domain that it names.
use crate::jwt::compact::CompactError;
use mtls_identity::TrustDomain;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the token is no JWT-SVID: {0}")]
    Form(CompactError),
    #[error("the token is no JWT-SVID: its claim {claim} must be {wanted}")]
    Claim {
        claim: &'static str,
        wanted: &'static str,
    },
    #[error("the token is not trusted: there is no bundle of its trust domain, {trust_domain}")]
    NoBundle { trust_domain: TrustDomain },
    #[error("the token is not trusted: the bundle of its trust domain, {trust_domain}, has no JWT keys")]
    NoKeys { trust_domain: TrustDomain },
    #[error(
        "the token is not trusted: no JWT key of its trust domain, {trust_domain}, has its kid and is for its alg"
    )]
    UnknownKey { trust_domain: TrustDomain },
    #[error("the token's signature does not hold")]
    Signature,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is of the future, by its claim {claim}; is the clock right?")]
    Early { claim: &'static str },
}

impl From<CompactError> for Refusal {
    fn from(error: CompactError) -> Self {
        Self::Form(error)
    }
}

impl Refusal {
    /// Out of a small fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Form(CompactError::Algorithm) => "algorithm",
            Self::Form(_) => "form",
            Self::Claim { .. } => "claim",
            Self::NoBundle { .. } | Self::NoKeys { .. } => "trust_domain",
            Self::UnknownKey { .. } => "unknown_key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::Early { .. } => "early",
        }
    }
}
