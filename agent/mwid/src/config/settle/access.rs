//! `access`: who may have what. Names are not looked up here.
use super::place::At;
use super::values::{self, quoted};
use crate::config::error::Wrong;
use crate::config::raw::{self, Allowed};
use crate::config::{
    AccessRule, AccessTokens, AudiencePattern, CallerConditions, IdTokens, May, Routes, Settings, Side, Who,
};

const MOST_RULES: usize = 1024;
const MOST_ENTRIES: usize = 256;

const CONDITIONS: &str = "at least one of user, uid, group, gid, unit, exe, sha256";

pub(super) fn settle(at: &At, raw: Vec<raw::Access>) -> Vec<AccessRule> {
    if raw.len() > MOST_RULES {
        at.refuse(Wrong::new(
            &format!("{} rules", raw.len()),
            format!("at most {MOST_RULES}"),
        ));
        return Vec::new();
    }
    raw.into_iter()
        .enumerate()
        .filter_map(|(index, raw)| rule(&at.item(index), raw))
        .collect()
}

fn rule(at: &At, raw: raw::Access) -> Option<AccessRule> {
    let who = match raw.who {
        Some(who) => self::who(&at.key("who"), who),
        None => {
            at.refuse(
                Wrong::new("a rule without `who`", "whom it means").fix("say `who: everyone`, or conditions"),
            );
            None
        }
    };
    let may = match raw.may {
        Some(may) => self::may(&at.key("may"), may),
        None => {
            at.refuse(
                Wrong::new("a rule without `may`", "what it grants")
                    .fix("say `may: { access_tokens: true }`, or remove the rule"),
            );
            None
        }
    };
    Some(AccessRule { who: who?, may: may? })
}

fn who(at: &At, raw: raw::Who) -> Option<Who> {
    match raw {
        raw::Who::Word(word) if word == "everyone" => Some(Who::Everyone),
        raw::Who::Word(word) => {
            let wrong = Wrong::new(&quoted(&word), "everyone, or a map of conditions");
            at.refuse(match word.as_str() {
                "all" | "anyone" | "any" | "everybody" | "*" => wrong.fix("the word is `everyone`"),
                _ => wrong.fix(format!(
                    "for a user: {{ user: {word} }}; for a unit: {{ unit: {word} }}"
                )),
            });
            None
        }
        raw::Who::Caller(raw) => conditions(at, *raw).map(|conditions| Who::Caller(Box::new(conditions))),
    }
}

fn conditions(at: &At, raw: raw::Caller) -> Option<CallerConditions> {
    let pairs = [
        ("user", "uid", raw.user.is_some() && raw.uid.is_some()),
        ("group", "gid", raw.group.is_some() && raw.gid.is_some()),
    ];
    for (name, number, _) in pairs.into_iter().filter(|(.., both)| *both) {
        at.key(number).refuse(
            Wrong::new(&format!("both {name} and {number}"), "one of the two")
                .fix(format!("remove {number}")),
        );
    }
    let empty = raw.user.is_none()
        && raw.uid.is_none()
        && raw.group.is_none()
        && raw.gid.is_none()
        && raw.unit.is_none()
        && raw.exe.is_none()
        && raw.sha256.is_none();
    if empty {
        at.refuse(Wrong::new("an empty map", CONDITIONS).fix("for all callers, say `who: everyone`"));
        return None;
    }
    Some(CallerConditions {
        user: at.maybe("user", raw.user.map(|text| values::only_name(&text.0, "uid"))),
        uid: at.maybe("uid", raw.uid.map(|number| values::id(number.0))),
        group: at.maybe("group", raw.group.map(|text| values::only_name(&text.0, "gid"))),
        gid: at.maybe("gid", raw.gid.map(|number| values::id(number.0))),
        unit: at.maybe("unit", raw.unit.map(|text| values::unit_of_processes(&text.0))),
        exe: at.maybe("exe", raw.exe.map(|text| values::absolute(&text.0))),
        sha256: at.maybe("sha256", raw.sha256.map(|text| values::sha256(&text.0))),
    })
}

fn may(at: &At, raw: raw::May) -> Option<May> {
    let identity = raw.identity == Some(true);
    let access_tokens = access_tokens(&at.key("access_tokens"), raw.access_tokens);
    let id_tokens = id_tokens(&at.key("id_tokens"), raw.id_tokens);
    let may = May {
        identity,
        access_tokens: access_tokens?,
        id_tokens: id_tokens?,
        routes: routes(&at.key("routes"), raw.routes)?,
    };
    if may == May::default() {
        at.refuse(
            Wrong::new(
                "a rule that grants nothing",
                "at least one of identity, access_tokens, id_tokens, routes",
            )
            .fix("grant something, or remove the rule: whom no rule matches gets nothing"),
        );
        return None;
    }
    Some(may)
}

fn access_tokens(at: &At, raw: Option<Allowed<raw::Scopes>>) -> Option<AccessTokens> {
    Some(match raw {
        None | Some(Allowed::Nothing) => AccessTokens::None,
        Some(Allowed::All) => AccessTokens::All,
        Some(Allowed::Some(raw)) => {
            let scopes = list(at, "scopes", raw.scopes, values::scope)?;
            AccessTokens::Scopes(scopes.into_iter().collect())
        }
    })
}

fn id_tokens(at: &At, raw: Option<Allowed<raw::Audiences>>) -> Option<IdTokens> {
    Some(match raw {
        None | Some(Allowed::Nothing) => IdTokens::None,
        Some(Allowed::All) => IdTokens::All,
        Some(Allowed::Some(raw)) => {
            let audiences = list(at, "audiences", raw.audiences, values::audience)?;
            IdTokens::Audiences(audiences.into_iter().map(AudiencePattern).collect())
        }
    })
}

fn routes(at: &At, raw: Option<Vec<raw::Text>>) -> Option<Routes> {
    let Some(texts) = raw else {
        return Some(Routes::None);
    };
    let names = entries(at, "routes", &texts, values::route_name)?;
    Some(Routes::Named(names.into_iter().collect()))
}

/// A grant for a route that is not there, or has no callers, is a slip of the pen.
pub(super) fn known_routes(root: &At, settings: &Settings) {
    let outbound = |name: &str| {
        let named = settings.proxy.routes.iter().find(|route| route.name == name);
        named.map(|route| matches!(route.side, Side::Outbound { .. }))
    };
    for (index, rule) in settings.access.iter().enumerate() {
        let Routes::Named(names) = &rule.may.routes else {
            continue;
        };
        for name in names {
            let found = match outbound(name) {
                Some(true) => continue,
                Some(false) => format!("{}, which is an inbound route", quoted(name)),
                None => format!("{}, which no route has", quoted(name)),
            };
            let at = root.key("access").item(index).key("may").key("routes");
            at.refuse(Wrong::new(&found, "the names of routes under proxy.outbound"));
        }
    }
}

/// A list that is there, not empty, not endless, and has nothing twice.
fn list(
    at: &At,
    key: &str,
    raw: Option<Vec<raw::Text>>,
    judge: fn(&str) -> Result<String, Wrong>,
) -> Option<Vec<String>> {
    let Some(texts) = raw else {
        at.refuse(Wrong::new(
            "an empty map",
            format!("true, false or {{ {key}: [ … ] }}"),
        ));
        return None;
    };
    let at = at.key(key);
    if texts.is_empty() {
        at.refuse(
            Wrong::new("an empty list", format!("at least one of the {key}"))
                .fix("for all of them, say true instead of the map; for none, false"),
        );
        return None;
    }
    entries(&at, key, &texts, judge)
}

fn entries(
    at: &At,
    key: &str,
    texts: &[raw::Text],
    judge: fn(&str) -> Result<String, Wrong>,
) -> Option<Vec<String>> {
    if texts.is_empty() {
        at.refuse(Wrong::new("an empty list", format!("at least one of the {key}")).fix("or remove the key"));
        return None;
    }
    if texts.len() > MOST_ENTRIES {
        at.refuse(Wrong::new(
            &format!("{} {key}", texts.len()),
            format!("at most {MOST_ENTRIES}"),
        ));
        return None;
    }
    let mut values = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match judge(&text.0) {
            Ok(value) if values.contains(&value) => at.item(index).refuse(Wrong::new(
                &format!("{} a second time", quoted(&value)),
                format!("each of the {key} once"),
            )),
            Ok(value) => values.push(value),
            Err(wrong) => at.item(index).refuse(wrong),
        }
    }
    Some(values)
}
