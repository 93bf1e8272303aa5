//! Reload in two phases: the whole new file is settled, its names looked up and its listeners opened before anything changes.
//!
//! In: the settings in force and the new ones. Out: what changed, or why nothing did. Never leaves half of a change.
use super::daemon::Daemon;
use crate::api::admin::{ReloadAnswer, ReloadRefusal};
use crate::config::{Settings, SourceSettings};
use crate::report::Causes;

pub(super) async fn reload(daemon: &mut Daemon) -> ReloadAnswer {
    let Some(load) = &daemon.load else {
        return Err(ReloadRefusal::Invalid(
            "these settings come from no file, so there is nothing to read again".to_owned(),
        ));
    };
    let new = load().map_err(|error| ReloadRefusal::Invalid(Causes(&error).to_string()))?;
    refuse_what_needs_a_restart(&daemon.settings, &new)?;

    let failed = |error: &dyn std::error::Error| ReloadRefusal::Failed(Causes(error).to_string());
    let publish = if new.publish == daemon.settings.publish {
        None
    } else {
        Some(
            daemon
                .publishing
                .prepare(new.publish.clone())
                .await
                .map_err(|e| failed(&e))?,
        )
    };
    let doors = daemon.doors.prepare(&new.admin).map_err(|e| failed(&e))?;

    // From here on nothing is expected to fail: the doors come first, for theirs is the one system call left (a rename).
    let mut changes = vec![];
    if daemon.doors.apply(doors).map_err(|e| failed(&e))? {
        changes.push("api.admin".to_owned());
    }
    if let Some(ready) = publish {
        daemon.publishing.apply(ready);
        changes.push("publish".to_owned());
    }
    if new.identity != daemon.settings.identity {
        daemon
            .publishing
            .expect_identity(new.identity.source != SourceSettings::None);
        daemon.inlet.replace(new.identity.clone()).await;
        changes.push("identity".to_owned());
    }
    // After the identity: what the store has let go is told too.
    daemon.publishing.verify_all();
    if new.log.level != daemon.settings.log.level {
        daemon
            .logging
            .set_level(super::level(new.log.level))
            .map_err(|e| failed(&e))?;
        changes.push("log.level".to_owned());
    }
    daemon.settings = new;
    Ok(changes)
}

fn refuse_what_needs_a_restart(old: &Settings, new: &Settings) -> Result<(), ReloadRefusal> {
    if old.runtime_dir != new.runtime_dir {
        return Err(ReloadRefusal::Failed(format!(
            "runtime_dir: {} is in force, {} is wanted: sockets and clients depend on it, so restart mwid to change it",
            old.runtime_dir.display(),
            new.runtime_dir.display()
        )));
    }
    if old.log.format != new.log.format {
        return Err(ReloadRefusal::Failed(
            "log.format: restart mwid to change it".to_owned(),
        ));
    }
    Ok(())
}
