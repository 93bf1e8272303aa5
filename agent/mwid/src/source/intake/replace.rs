//! New settings. In: the settings to take into force. Out: another source, and no identity that the new settings forbid.
//! Never takes away an identity that they allow.
use super::{Command, Intake};
use crate::config::{IdentitySettings, SourceSettings};
use crate::source::dev_ca;
use mtls_identity::IdentitySnapshot;

impl Intake {
    pub(super) fn replace(&mut self, Command { settings, done }: Command) {
        if let Some(current) = self.reader.current()
            && let Some(why) = forbidden(&settings, &current)
        {
            self.writer.clear();
            self.ledger.cleared(&current, why);
        }
        self.waiting = None;
        self.settings = settings;
        self.begin();
        // Nobody waits when the reload was given up meanwhile.
        let _gone = done.send(());
    }
}

/// Why an identity that was proven under other settings may not be served under these.
fn forbidden(settings: &IdentitySettings, current: &IdentitySnapshot) -> Option<&'static str> {
    let expected = settings
        .expect
        .as_ref()
        .is_none_or(|pattern| pattern.matches(current.id()));
    match settings.source {
        SourceSettings::None => Some("identity.source is none now"),
        _ if !expected => Some("it does not match identity.expect any more"),
        SourceSettings::DevCa { .. } => None,
        _ if dev_ca::is_ours(current) => Some("it is for development, and the source is not dev_ca any more"),
        _ => None,
    }
}
