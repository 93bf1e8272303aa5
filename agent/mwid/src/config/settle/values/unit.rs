//! systemd units and signals.
use super::{plain_components, quoted};
use crate::config::SignalTarget;
use crate::config::error::Wrong;
use nix::sys::signal::Signal;

/// See systemd.unit(5): at most 255 characters of a small set, and a type.
const TYPES: [&str; 9] = [
    "service", "socket", "target", "mount", "path", "scope", "slice", "swap", "timer",
];
const LONGEST: usize = 255;

pub(in super::super) fn unit(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new(&quoted(text), "a systemd unit's full name, such as nginx.service");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '\\' | '-' | '@');
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(wrong().fix(format!("`{}` does not occur in unit names", bad.escape_default())));
    }
    let Some((name, kind)) = text.rsplit_once('.').filter(|(_, kind)| TYPES.contains(kind)) else {
        return Err(wrong().fix("write its type too, for instance .service"));
    };
    if name.is_empty() || text.len() > LONGEST {
        return Err(wrong());
    }
    if name.ends_with('@') {
        return Err(wrong().fix(format!(
            "this is a template; name an instance, {name}INSTANCE.{kind}"
        )));
    }
    Ok(text.to_owned())
}

/// A unit by name, or the absolute path of a file that holds a process number.
pub(in super::super) fn signal_target(text: &str) -> Result<SignalTarget, Wrong> {
    if text.starts_with('/') {
        return plain_components(text, "a unit, or a pid file's absolute path").map(SignalTarget::PidFile);
    }
    unit(text).map(SignalTarget::Unit)
}

/// With or without `SIG`; out comes the full name, `SIGHUP`.
pub(in super::super) fn signal(text: &str) -> Result<String, Wrong> {
    let full = if text.starts_with("SIG") {
        text.to_owned()
    } else {
        format!("SIG{text}")
    };
    full.parse::<Signal>()
        .map(|signal| signal.as_str().to_owned())
        .map_err(|_| Wrong::new(&quoted(text), "a signal's name, such as HUP or USR1"))
}
