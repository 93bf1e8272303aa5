//! What a caller may have, and whether that covers what it asks for.
//!
//! In: what rules grant; then what a caller asks for. Out: exactly what it gets, or a refusal in words for the caller. Never more than was
//! asked for, never more than was granted.
use super::audience;
use crate::config::{AccessTokens, IdTokens, May, Routes};
use std::collections::BTreeSet;

/// What a caller may have: all that the matching rules grant, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) identity: bool,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) id_tokens: IdTokens,
    pub(crate) routes: Routes,
}

/// Why a caller does not get what it asks for, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "no access rule of mwid grants you access tokens; its operator can, under access[].may.access_tokens"
    )]
    NoAccessTokens,
    /// The asked scopes that are too much, and those that could be had.
    #[error(
        "not granted to you: the scopes {}; granted are: {}",
        list(wanted),
        list(granted)
    )]
    Scopes {
        wanted: Vec<String>,
        granted: BTreeSet<String>,
    },
    #[error("no access rule of mwid grants you ID tokens; its operator can, under access[].may.id_tokens")]
    NoIdTokens,
    #[error(
        "ID tokens for the audience {} are not granted to you; mwid's operator can, under access[].may.id_tokens",
        super::words::clean(audience)
    )]
    Audience { audience: String },
    #[error("the route {name} is not granted to you; mwid's operator can, under access[].may.routes")]
    Route { name: String },
}

/// At most so many scopes are named.
const MOST_NAMED: usize = 32;

fn list<'a>(scopes: impl IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>) -> String {
    let scopes = scopes.into_iter();
    let more = scopes.len().saturating_sub(MOST_NAMED);
    let named: Vec<_> = scopes.take(MOST_NAMED).map(|s| super::words::clean(s)).collect();
    let named = named.join(" ");
    if more > 0 {
        format!("{named} and {more} more")
    } else {
        named
    }
}

impl Grant {
    /// Root's, and mwid's own user's.
    pub(super) fn everything() -> Self {
        Self {
            identity: true,
            access_tokens: AccessTokens::All,
            id_tokens: IdTokens::All,
            routes: Routes::All,
        }
    }

    /// Adds what a further rule grants.
    pub(super) fn add(&mut self, may: &May) {
        self.identity |= may.identity;
        match (&mut self.access_tokens, &may.access_tokens) {
            (AccessTokens::All, _) | (_, AccessTokens::None) => {}
            (AccessTokens::Scopes(have), AccessTokens::Scopes(more)) => have.extend(more.iter().cloned()),
            (have, more) => *have = more.clone(),
        }
        match (&mut self.id_tokens, &may.id_tokens) {
            (IdTokens::All, _) | (_, IdTokens::None) => {}
            (IdTokens::Audiences(have), IdTokens::Audiences(more)) => {
                for pattern in more {
                    if !have.contains(pattern) {
                        have.push(pattern.clone());
                    }
                }
            }
            (have, more) => *have = more.clone(),
        }
        match (&mut self.routes, &may.routes) {
            (Routes::All, _) | (_, Routes::None) => {}
            (Routes::Named(have), Routes::Named(more)) => have.extend(more.iter().cloned()),
            (have, more) => *have = more.clone(),
        }
    }

    /// Whether connections at this outbound route of the proxy are granted.
    pub(crate) fn route_allowed(&self, name: &str) -> Result<(), Refusal> {
        match &self.routes {
            Routes::All => Ok(()),
            Routes::Named(names) if names.contains(name) => Ok(()),
            Routes::None | Routes::Named(_) => Err(Refusal::Route {
                name: name.to_owned(),
            }),
        }
    }

    /// With which scopes a caller who asks for these (none: empty) gets its access token: exactly the asked ones, exactly the granted ones if
    /// none were asked and a set is granted, or (`None`) the source's own if none were asked and everything is granted.
    pub(crate) fn scopes_for<'a>(
        &'a self,
        asked: &'a BTreeSet<String>,
    ) -> Result<Option<&'a BTreeSet<String>>, Refusal> {
        match &self.access_tokens {
            AccessTokens::None => Err(Refusal::NoAccessTokens),
            AccessTokens::All => Ok((!asked.is_empty()).then_some(asked)),
            // The settings refuse an empty set; here it would mean the source's own scopes, which is everything.
            AccessTokens::Scopes(granted) if granted.is_empty() => Err(Refusal::NoAccessTokens),
            AccessTokens::Scopes(granted) if asked.is_empty() => Ok(Some(granted)),
            AccessTokens::Scopes(granted) if asked.is_subset(granted) => Ok(Some(asked)),
            AccessTokens::Scopes(granted) => Err(Refusal::Scopes {
                wanted: asked.difference(granted).cloned().collect(),
                granted: granted.clone(),
            }),
        }
    }

    /// Whether there is any token that it grants.
    pub(crate) fn has_tokens(&self) -> bool {
        self.access_tokens != AccessTokens::None || self.id_tokens != IdTokens::None
    }

    /// Whether ID tokens for this audience, which goes to the platform exactly as it came, are granted.
    pub(crate) fn audience_allowed(&self, audience: &str) -> Result<(), Refusal> {
        match &self.id_tokens {
            IdTokens::None => Err(Refusal::NoIdTokens),
            IdTokens::All => Ok(()),
            IdTokens::Audiences(patterns) => {
                if patterns.iter().any(|p| audience::matches(&p.0, audience)) {
                    Ok(())
                } else {
                    Err(Refusal::Audience {
                        audience: audience.to_owned(),
                    })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AudiencePattern;

    fn set(scopes: &[&str]) -> BTreeSet<String> {
        scopes.iter().map(|s| (*s).to_owned()).collect()
    }

    fn scopes(granted: &[&str]) -> Grant {
        Grant {
            access_tokens: AccessTokens::Scopes(set(granted)),
            ..Grant::default()
        }
    }

    fn audiences(patterns: &[&str]) -> IdTokens {
        IdTokens::Audiences(
            patterns
                .iter()
                .map(|p| AudiencePattern((*p).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn scopes_are_honoured_or_refused_never_widened() {
        let all = Grant::everything();
        let (none, a, ab, abc) = (set(&[]), set(&["a"]), set(&["a", "b"]), set(&["a", "b", "c"]));
        assert_eq!(all.scopes_for(&none), Ok(None), "the source's own");
        assert_eq!(all.scopes_for(&ab), Ok(Some(&ab)), "as asked");
        let some = scopes(&["a", "b"]);
        assert_eq!(some.scopes_for(&none), Ok(Some(&ab)), "exactly the grant");
        assert_eq!(some.scopes_for(&ab), Ok(Some(&ab)));
        assert_eq!(some.scopes_for(&a), Ok(Some(&a)), "narrower as asked");
        let refusal = some.scopes_for(&abc).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "not granted to you: the scopes c; granted are: a b"
        );
        assert_eq!(
            Grant::default().scopes_for(&none),
            Err(Refusal::NoAccessTokens),
            "no grant at all"
        );
        assert_eq!(Grant::default().scopes_for(&a), Err(Refusal::NoAccessTokens));
        assert_eq!(
            scopes(&[]).scopes_for(&none),
            Err(Refusal::NoAccessTokens),
            "nothing is not everything"
        );
        assert!(some.scopes_for(&set(&["A"])).is_err(), "case counts");
        assert!(some.scopes_for(&set(&[""])).is_err());
        assert!(some.scopes_for(&set(&["a b"])).is_err());
    }

    #[test]
    fn a_refusal_is_short_and_clean_whatever_was_asked() {
        let many: BTreeSet<String> = (0..1000).map(|i| format!("scope\n\x1b[31m{i}")).collect();
        let text = scopes(&["a"]).scopes_for(&many).unwrap_err().to_string();
        assert!(
            text.len() < 2000 && !text.contains(['\n', '\x1b']),
            "{}: {text}",
            text.len()
        );
        assert!(text.contains(" and 968 more; granted are: a"), "{text}");
        let grant = Grant {
            id_tokens: audiences(&["https://x"]),
            ..Grant::default()
        };
        let text = grant
            .audience_allowed(&"\u{202e}y".repeat(5000))
            .unwrap_err()
            .to_string();
        assert!(text.len() < 500 && text.is_ascii(), "{text}");
    }

    #[test]
    fn audiences_are_granted_by_pattern() {
        let grant = Grant {
            id_tokens: audiences(&["https://*.a.run.app", "client-1"]),
            ..Grant::default()
        };
        assert_eq!(grant.audience_allowed("https://x.a.run.app"), Ok(()));
        assert_eq!(grant.audience_allowed("client-1"), Ok(()));
        assert!(matches!(
            grant.audience_allowed("https://a.run.app.evil.com"),
            Err(Refusal::Audience { .. })
        ));
        assert_eq!(Grant::everything().audience_allowed("any thing"), Ok(()));
        assert_eq!(
            Grant::default().audience_allowed("client-1"),
            Err(Refusal::NoIdTokens)
        );
    }

    #[test]
    fn grants_add_up() {
        let may = |identity, access_tokens, id_tokens| May {
            identity,
            access_tokens,
            id_tokens,
            routes: Routes::None,
        };
        let mut grant = Grant::default();
        grant.add(&may(false, AccessTokens::Scopes(set(&["a"])), audiences(&["x"])));
        grant.add(&may(true, AccessTokens::None, IdTokens::None));
        grant.add(&may(
            false,
            AccessTokens::Scopes(set(&["b"])),
            audiences(&["x", "y"]),
        ));
        assert_eq!(
            grant,
            Grant {
                identity: true,
                access_tokens: AccessTokens::Scopes(set(&["a", "b"])),
                id_tokens: audiences(&["x", "y"]),
                routes: Routes::None,
            }
        );
        grant.add(&may(false, AccessTokens::All, IdTokens::None));
        grant.add(&may(false, AccessTokens::Scopes(set(&["c"])), IdTokens::All));
        for routes in [Routes::Named(set(&["a"])), Routes::Named(set(&["b"]))] {
            grant.add(&May {
                routes,
                ..May::default()
            });
        }
        assert!(grant.route_allowed("a").is_ok() && grant.route_allowed("b").is_ok());
        assert_eq!(
            grant.route_allowed("c").unwrap_err().to_string(),
            "the route c is not granted to you; mwid's operator can, under access[].may.routes"
        );
        assert!(Grant::default().route_allowed("a").is_err());
        grant.add(&May {
            routes: Routes::All,
            ..May::default()
        });
        assert_eq!(grant, Grant::everything());
        grant.add(&May::default());
        assert_eq!(grant, Grant::everything(), "nothing takes away");
    }
}
