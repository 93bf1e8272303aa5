//! `allow`, `deny` and `expect`: rules on peers. In: as written. Out: rules; one with conditions holds where all of them do.
use super::place::At;
use super::values::{self, quoted};
use crate::config::error::Wrong;
use crate::config::raw;
use mtls_identity::peer::PeerRule;

const MOST_RULES: usize = 1024;
/// Of one condition.
const MOST_TEXTS: usize = 64;

/// What a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    LetIn,
    KeepOut,
}

pub(super) fn list(at: &At, raw: Option<Vec<raw::Peer>>, sense: Sense) -> Vec<PeerRule> {
    let rules = raw.unwrap_or_default();
    if rules.len() > MOST_RULES {
        at.refuse(Wrong::new(
            &format!("{} rules", rules.len()),
            format!("at most {MOST_RULES}"),
        ));
        return Vec::new();
    }
    let settled = rules.into_iter().enumerate();
    settled
        .filter_map(|(index, raw)| one(&at.item(index), raw, sense))
        .collect()
}

pub(super) fn one(at: &At, raw: raw::Peer, sense: Sense) -> Option<PeerRule> {
    match raw {
        raw::Peer::Text(text) => values::peer_rule(&text).map_err(|wrong| at.refuse(wrong)).ok(),
        raw::Peer::Keys(keys) => conditions(at, *keys, sense),
    }
}

fn conditions(at: &At, raw: raw::PeerKeys, sense: Sense) -> Option<PeerRule> {
    let raw::PeerKeys {
        id,
        trust_domain,
        path,
        not,
    } = raw;
    let (has_domain, has_path) = (trust_domain.is_some(), path.is_some());
    let id = id.map(|text| at.maybe("id", Some(values::peer_rule(&text.0))));
    let domain = trust_domain.map(|texts| any(&at.key("trust_domain"), texts, values::trust_domain));
    let path = path.map(|texts| any(&at.key("path"), texts, values::path_pattern));
    let not = not.map(|texts| any(&at.key("not"), texts, exception));
    if id.is_some() {
        for key in [("trust_domain", has_domain), ("path", has_path)] {
            if let (key, true) = key {
                at.key(key)
                    .refuse(Wrong::new("a key of no use beside `id`", "no such key").fix(
                    "an ID or a pattern says its trust domain and its path already; remove one of the two",
                ));
            }
        }
    } else if !has_domain && !has_path {
        at.refuse(
            Wrong::new("a rule that means nobody", "`id`, or `trust_domain`, `path` or both")
                .fix("say whom it means, such as { trust_domain: example.org, path: /ns/shop/** }; `not` only takes from them"),
        );
        return None;
    } else if !has_domain && sense == Sense::LetIn {
        at.refuse(
            Wrong::new(
                "`path` without `trust_domain`",
                "the trust domains in which the path is meant",
            )
            .fix(
                "each trust domain gives out its own paths; add trust_domain: example.org, or a list of them",
            ),
        );
        return None;
    }
    // Of what is wrong with any of them the list has an entry.
    let mut all: Vec<_> = [id, domain, path].into_iter().flatten().collect::<Option<_>>()?;
    if let Some(not) = not {
        all.push(PeerRule::Not(Box::new(not?)));
    }
    Some(alone(all, PeerRule::All))
}

/// A condition that holds where one of its texts does.
fn any(at: &At, raw: raw::Texts, rule: impl Fn(&str) -> Result<PeerRule, Wrong>) -> Option<PeerRule> {
    let texts = match raw {
        raw::Texts::One(text) => return rule(&text).map_err(|wrong| at.refuse(wrong)).ok(),
        raw::Texts::Many(texts) => texts,
    };
    if texts.is_empty() || texts.len() > MOST_TEXTS {
        at.refuse(Wrong::new(
            &format!("{} of them", texts.len()),
            format!("one, or a list of 1 to {MOST_TEXTS}"),
        ));
        return None;
    }
    let settled = texts.iter().enumerate().map(|(index, text)| {
        let rule = rule(&text.0);
        rule.map_err(|wrong| at.item(index).refuse(wrong)).ok()
    });
    // All of them are looked at, so that each that is wrong is told.
    let settled: Vec<_> = settled.collect();
    let rules = settled.into_iter().collect::<Option<_>>()?;
    Some(alone(rules, PeerRule::Any))
}

fn alone(mut rules: Vec<PeerRule>, many: impl Fn(Vec<PeerRule>) -> PeerRule) -> PeerRule {
    match rules.len() {
        1 => rules.swap_remove(0),
        _ => many(rules),
    }
}

/// Whom a rule does not mean after all: as a rule, or a path.
fn exception(text: &str) -> Result<PeerRule, Wrong> {
    if text.starts_with('/') {
        return values::path_pattern(text);
    }
    let wanted =
        "a SPIFFE ID, a pattern, a trust domain such as spiffe://example.org, or a path such as /ns/test/**";
    values::peer_rule(text).map_err(|Wrong { fix, .. }| Wrong::new(&quoted(text), wanted).fix(fix))
}
