//! Settling: the raw mirror in, typed values out, or every problem that there is. Looks at nothing outside the file.

mod access;
mod apart;
mod api;
mod balancers;
mod bounds;
mod identity;
mod peers;
mod place;
mod proxy;
mod publish;
mod reaction;
mod sds;
mod targets;
mod tokens;
mod values;

use super::defaults::Defaults;
use super::error::Wrong;
use super::key_path::KeyPath;
use super::raw;
use super::{LogFormat, LogLevel, LogSettings, Settings};
use place::At;

/// A problem whose line is not known yet.
pub(super) type Misplaced = (KeyPath, Wrong);

pub(super) fn settle(raw: raw::File, base: Defaults) -> Result<Settings, Vec<Misplaced>> {
    let root = At::root();
    let runtime_dir = root.path(raw.runtime_dir, "runtime_dir", base.runtime_dir.clone());
    let base = base.in_runtime_dir(&runtime_dir);
    let silent = base.settings();
    let doors = api::settle(&root.key("api"), raw.api.unwrap_or_default(), &base);
    let settings = Settings {
        identity: identity::settle(&root.key("identity"), raw.identity.unwrap_or_default(), &base),
        publish: match raw.publish {
            Some(entries) => publish::settle(&root.key("publish"), entries, &base),
            None => silent.publish,
        },
        admin: doors.admin,
        workload: doors.workload,
        sds: doors.sds,
        metadata: doors.metadata,
        credential: doors.credential,
        tokens: match raw.tokens.and_then(|tokens| tokens.source) {
            Some(source) => tokens::settle(&root.key("tokens").key("source"), source),
            None => silent.tokens,
        },
        access: access::settle(&root.key("access"), raw.access.unwrap_or_default()),
        proxy: proxy::settle(&root.key("proxy"), raw.proxy.unwrap_or_default(), &runtime_dir),
        log: log(&root.key("log"), raw.log.unwrap_or_default(), silent.log),
        runtime_dir,
    };
    // Not when something was wrong: defaults that stand in for wrong values would clash with each other.
    if root.is_clean() {
        apart::directories(&root, &settings);
        apart::sources(&root, &settings);
        apart::routes(&root, &settings);
        access::known_routes(&root, &settings);
    }
    let problems = root.into_problems();
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

fn log(at: &At, raw: raw::Log, silent: LogSettings) -> LogSettings {
    LogSettings {
        level: at.take(
            "level",
            raw.level.map(|t| values::word(&t.0, &LEVELS)),
            silent.level,
        ),
        format: at.take(
            "format",
            raw.format.map(|t| values::word(&t.0, &FORMATS)),
            silent.format,
        ),
    }
}

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: [(&str, LogFormat); 4] = [
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    ("journald", LogFormat::Journald),
];
