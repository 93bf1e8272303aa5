//! `api.workload.sds`: the names of Envoy's secrets.
use super::place::At;
use super::values;
use crate::config::SdsSettings;
use crate::config::error::Wrong;
use crate::config::raw;

/// As long as a SPIFFE ID may be: the longest name that is answered.
const LONGEST: usize = 2048;

pub(super) fn settle(at: &At, raw: raw::Sds) -> SdsSettings {
    let silent = SdsSettings::default();
    let named = |key: &str, text: Option<raw::Text>, silent: String| {
        at.take(key, text.map(|text| name(&text.0)), silent)
    };
    let settings = SdsSettings {
        default: named("default", raw.default, silent.default),
        root: named("root", raw.root, silent.root),
        all: named("all", raw.all, silent.all),
        spiffe_validator: raw.spiffe_validator.unwrap_or(silent.spiffe_validator),
    };
    // Not when something was wrong: what stands in for a wrong name may be another one's.
    if at.is_clean() {
        apart(at, &settings);
    }
    settings
}

fn name(text: &str) -> Result<String, Wrong> {
    let is_wrong =
        text.is_empty() || text == "*" || text.len() > LONGEST || !text.bytes().all(|b| b.is_ascii_graphic());
    if is_wrong {
        return Err(Wrong::new(
            &values::quoted(text),
            "a name for Envoy to ask for: letters, digits and signs, without spaces, and not * (which is all there is)",
        ));
    }
    Ok(text.to_owned())
}

/// One name is one thing.
fn apart(at: &At, settings: &SdsSettings) {
    let named = [
        ("default", &settings.default),
        ("root", &settings.root),
        ("all", &settings.all),
    ];
    for (index, (key, name)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..index].iter().find(|(_, earlier)| earlier == name) {
            at.key(key).refuse(Wrong::new(
                &format!("{}, which is the name of `{other}` too", values::quoted(name)),
                "a name of its own",
            ));
        }
    }
}
