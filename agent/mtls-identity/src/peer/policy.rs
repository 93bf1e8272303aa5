//! Decides whether a peer may. In: rules, and a SPIFFE ID that a handshake verified. Out: yes, or a refusal that names the rule.
//! Never looks at a certificate, and never allows what no rule allows.

use super::{IdPattern, PathPattern};
use crate::spiffe_id::{SpiffeId, TrustDomain};
use std::fmt;

/// Which peers may connect, or be connected to. Without a rule: nobody.
///
/// A peer may when at least one allow rule matches its SPIFFE ID and no deny rule does: deny wins.
///
/// ```
/// use mtls_identity::{IdPattern, PeerPolicy, SpiffeId};
///
/// let policy = PeerPolicy::nobody()
///     .allow(IdPattern::parse("spiffe://shop.example/ns/web/sa/*")?)
///     .deny(SpiffeId::parse("spiffe://shop.example/ns/web/sa/old")?);
///
/// assert!(policy.decide(&SpiffeId::parse("spiffe://shop.example/ns/web/sa/cart")?).is_ok());
/// assert!(policy.decide(&SpiffeId::parse("spiffe://shop.example/ns/web/sa/old")?).is_err());
/// assert!(policy.decide(&SpiffeId::parse("spiffe://else.example/ns/web/sa/cart")?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    allow: Vec<PeerRule>,
    deny: Vec<PeerRule>,
}

/// One rule of a [`PeerPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerRule {
    /// Exactly this ID.
    Id(SpiffeId),
    /// Each ID that the pattern matches.
    Pattern(IdPattern),
    /// Each ID of this trust domain.
    TrustDomain(TrustDomain),
    /// Each ID with such a path, of whatever trust domain.
    Path(PathPattern),
    /// Each ID that all of these match; nobody if there are none.
    All(Vec<Self>),
    /// Each ID that one of these matches.
    Any(Vec<Self>),
    /// Each ID that this does not match.
    Not(Box<Self>),
    /// Each ID of every trust domain that we have a bundle of: whoever is in the federation. Only a deny rule keeps one out.
    Anyone,
}

impl PeerRule {
    /// Whether the rule matches an ID.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Id(exact) => exact == id,
            Self::Pattern(pattern) => pattern.matches(id),
            Self::TrustDomain(domain) => domain == id.trust_domain(),
            Self::Path(pattern) => pattern.matches(id.path()),
            Self::All(rules) => !rules.is_empty() && rules.iter().all(|rule| rule.matches(id)),
            Self::Any(rules) => rules.iter().any(|rule| rule.matches(id)),
            Self::Not(rule) => !rule.matches(id),
            Self::Anyone => true,
        }
    }

    /// The trust domains that it names for those whom it matches; none where it names no particular ones.
    pub fn trust_domains(&self) -> Vec<&TrustDomain> {
        match self {
            Self::Id(id) => vec![id.trust_domain()],
            Self::Pattern(pattern) => vec![pattern.trust_domain()],
            Self::TrustDomain(domain) => vec![domain],
            Self::All(rules) | Self::Any(rules) => rules.iter().flat_map(Self::trust_domains).collect(),
            Self::Path(_) | Self::Not(_) | Self::Anyone => Vec::new(),
        }
    }
}

impl fmt::Display for PeerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id.as_str()),
            Self::Pattern(pattern) => f.write_str(pattern.as_str()),
            Self::TrustDomain(domain) => write!(f, "trust domain {}", domain.as_str()),
            Self::Path(pattern) => write!(f, "path {}", pattern.as_str()),
            Self::All(rules) => list(f, rules, " and "),
            Self::Any(rules) => list(f, rules, " or "),
            Self::Not(rule) => write!(f, "not {rule}"),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

/// In brackets where there is more than one.
fn list(f: &mut fmt::Formatter<'_>, rules: &[PeerRule], between: &str) -> fmt::Result {
    match rules {
        [] => f.write_str("nobody"),
        [one] => write!(f, "{one}"),
        [first, others @ ..] => {
            write!(f, "({first}")?;
            others.iter().try_for_each(|rule| write!(f, "{between}{rule}"))?;
            f.write_str(")")
        }
    }
}

impl From<SpiffeId> for PeerRule {
    fn from(id: SpiffeId) -> Self {
        Self::Id(id)
    }
}

impl From<IdPattern> for PeerRule {
    fn from(pattern: IdPattern) -> Self {
        Self::Pattern(pattern)
    }
}

impl From<PathPattern> for PeerRule {
    fn from(pattern: PathPattern) -> Self {
        Self::Path(pattern)
    }
}

impl From<TrustDomain> for PeerRule {
    fn from(domain: TrustDomain) -> Self {
        Self::TrustDomain(domain)
    }
}

impl PeerPolicy {
    /// The policy without a rule: nobody may. The same as the default.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Adds an allow rule.
    #[must_use]
    pub fn allow(mut self, rule: impl Into<PeerRule>) -> Self {
        self.allow.push(rule.into());
        self
    }

    /// Adds a deny rule; it wins over every allow rule.
    #[must_use]
    pub fn deny(mut self, rule: impl Into<PeerRule>) -> Self {
        self.deny.push(rule.into());
        self
    }

    /// The allow rules, in order.
    pub fn allow_rules(&self) -> &[PeerRule] {
        &self.allow
    }

    /// The deny rules, in order.
    pub fn deny_rules(&self) -> &[PeerRule] {
        &self.deny
    }

    /// Whether no peer at all can pass.
    pub fn allows_nobody(&self) -> bool {
        self.allow.is_empty()
    }

    /// Decides about one ID.
    ///
    /// # Errors
    /// [`NotAllowed::Denied`] when a deny rule matches, [`NotAllowed::NoRuleMatches`] when no allow rule does.
    pub fn decide(&self, id: &SpiffeId) -> Result<(), NotAllowed> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.matches(id)) {
            return Err(NotAllowed::Denied {
                id: id.clone(),
                rule: rule.clone(),
            });
        }
        if self.allow.iter().any(|rule| rule.matches(id)) {
            return Ok(());
        }
        Err(NotAllowed::NoRuleMatches { id: id.clone() })
    }
}

/// Why a peer may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAllowed {
    /// A deny rule matches; what allow rules say does not count then.
    #[error("peer {id} is denied by the rule \"{rule}\"; change that deny rule if the peer should pass")]
    Denied {
        /// The peer.
        id: SpiffeId,
        /// The first deny rule that matches.
        rule: PeerRule,
    },
    /// No allow rule matches.
    #[error("no rule allows peer {id}; add an allow rule that matches this ID if the peer should pass")]
    NoRuleMatches {
        /// The peer.
        id: SpiffeId,
    },
}

impl NotAllowed {
    /// The peer.
    pub fn id(&self) -> &SpiffeId {
        match self {
            Self::Denied { id, .. } | Self::NoRuleMatches { id } => id,
        }
    }

    /// A short, bounded name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::NoRuleMatches { .. } => "no_rule",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SpiffeId {
        SpiffeId::parse(text).unwrap()
    }

    fn decide(policy: &PeerPolicy, peer: &str) -> &'static str {
        policy
            .decide(&id(peer))
            .map_or_else(|e| e.reason(), |()| "allowed")
    }

    #[test]
    fn without_a_rule_nobody_may() {
        assert!(PeerPolicy::nobody().allows_nobody());
        assert_eq!(decide(&PeerPolicy::nobody(), "spiffe://a.test/x"), "no_rule");
        let only_deny = PeerPolicy::nobody().deny(id("spiffe://a.test/y"));
        assert_eq!(decide(&only_deny, "spiffe://a.test/x"), "no_rule");
    }

    #[test]
    fn each_form_of_rule_matches_what_it_says_and_no_more() {
        let exact = PeerPolicy::nobody().allow(id("spiffe://a.test/ns/x/sa/y"));
        let pattern = PeerPolicy::nobody().allow(IdPattern::parse("spiffe://a.test/ns/*/sa/y").unwrap());
        let domain = PeerPolicy::nobody().allow(TrustDomain::parse("a.test").unwrap());
        assert_eq!(
            decide(&PeerPolicy::nobody().allow(PeerRule::Anyone), "spiffe://c.test/z"),
            "allowed"
        );
        let table = [
            ("spiffe://a.test/ns/x/sa/y", ["allowed", "allowed", "allowed"]),
            ("spiffe://a.test/ns/z/sa/y", ["no_rule", "allowed", "allowed"]),
            (
                "spiffe://a.test/ns/x/sa/y/more",
                ["no_rule", "no_rule", "allowed"],
            ),
            ("spiffe://b.test/ns/x/sa/y", ["no_rule", "no_rule", "no_rule"]),
            (
                "spiffe://a.test.evil/ns/x/sa/y",
                ["no_rule", "no_rule", "no_rule"],
            ),
        ];
        for (peer, wanted) in table {
            let got = [&exact, &pattern, &domain].map(|policy| decide(policy, peer));
            assert_eq!(got, wanted, "{peer}");
        }
    }

    #[test]
    fn a_rule_may_have_conditions_that_all_must_hold() {
        let domain = |name: &str| PeerRule::from(TrustDomain::parse(name).unwrap());
        let path = |text: &str| PeerRule::from(PathPattern::parse(text).unwrap());
        let rule = PeerRule::All(vec![
            PeerRule::Any(vec![domain("a.test"), domain("b.test")]),
            path("/ns/*/sa/web"),
            PeerRule::Not(Box::new(PeerRule::Any(vec![
                path("/ns/test/**"),
                SpiffeId::parse("spiffe://b.test/ns/old/sa/web").unwrap().into(),
            ]))),
        ]);
        for (peer, wanted) in [
            ("spiffe://a.test/ns/shop/sa/web", true),
            ("spiffe://b.test/ns/shop/sa/web", true),
            ("spiffe://c.test/ns/shop/sa/web", false),
            ("spiffe://a.test/ns/shop/sa/db", false),
            ("spiffe://a.test/ns/test/sa/web", false),
            ("spiffe://a.test/ns/old/sa/web", true),
            ("spiffe://b.test/ns/old/sa/web", false),
        ] {
            assert_eq!(rule.matches(&id(peer)), wanted, "{peer}");
        }
        assert_eq!(
            rule.to_string(),
            "((trust domain a.test or trust domain b.test) and path /ns/*/sa/web and \
             not (path /ns/test/** or spiffe://b.test/ns/old/sa/web))"
        );
        let anybody = id("spiffe://a.test/x");
        assert!(!PeerRule::All(Vec::new()).matches(&anybody) && !PeerRule::Any(Vec::new()).matches(&anybody));
    }

    #[test]
    fn deny_wins_and_names_its_rule() {
        let policy = PeerPolicy::nobody()
            .deny(IdPattern::parse("spiffe://a.test/bad/**").unwrap())
            .allow(TrustDomain::parse("a.test").unwrap());
        assert_eq!(decide(&policy, "spiffe://a.test/good"), "allowed");
        let error = policy.decide(&id("spiffe://a.test/bad/x")).unwrap_err();
        assert_eq!(error.reason(), "denied");
        assert_eq!(error.id().as_str(), "spiffe://a.test/bad/x");
        assert!(
            error.to_string().contains("\"spiffe://a.test/bad/**\""),
            "{error}"
        );
    }
}
