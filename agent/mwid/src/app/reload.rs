//! Reload in two phases: the whole new file is settled, its names looked up and its listeners opened before anything changes.
//!
//! In: the settings in force and the new ones. Out: what changed, or why nothing did. Never leaves half of a change.
use super::daemon::Daemon;
use super::doors::{self, Doors};
use super::google::{self, NewTokens};
use crate::api::admin::{ReloadAnswer, ReloadRefusal};
use crate::caller::Rules;
use crate::config::{Settings, SourceSettings};
use crate::proxy::{self, Proxy};
use crate::publish;
use crate::report::Causes;

pub(super) async fn reload(daemon: &mut Daemon) -> ReloadAnswer {
    let Some(load) = &daemon.load else {
        return Err(ReloadRefusal::Invalid(
            "these settings come from no file, so there is nothing to read again".to_owned(),
        ));
    };
    let new = load().map_err(|error| ReloadRefusal::Invalid(Causes(&error).to_string()))?;
    refuse_what_needs_a_restart(&daemon.settings, &new)?;
    let ready = prepare(daemon, &new).await?;
    apply(daemon, new, ready).await
}

/// What is made and not yet in force; none where nothing changes.
struct Ready {
    publish: Option<publish::Ready>,
    rules: Rules,
    tokens: Option<NewTokens>,
    doors: doors::Change,
    routes: proxy::Change,
}

fn failed(error: &dyn std::error::Error) -> ReloadRefusal {
    ReloadRefusal::Failed(Causes(error).to_string())
}

async fn prepare(daemon: &mut Daemon, new: &Settings) -> Result<Ready, ReloadRefusal> {
    let old = &daemon.settings;
    let publish = if new.publish == old.publish {
        None
    } else {
        let ready = daemon.publishing.prepare(new.publish.clone()).await;
        Some(ready.map_err(|e| failed(&e))?)
    };
    // Also when they read as before: users and groups may have come or gone. Only new rules must be right in all their names.
    let changed = new.access != old.access;
    let rules = google::rules(new.access.clone(), changed).await;
    let rules = rules.map_err(|e| failed(&e))?;
    let tokens = if new.tokens == old.tokens {
        None
    } else {
        let made = daemon.google.prepare(&new.tokens, &daemon.base).await;
        Some(made.map_err(|e| failed(&e))?)
    };
    let doors = daemon.doors.prepare(new).map_err(|e| failed(&e))?;
    let routes = daemon.proxy.prepare(&new.proxy).map_err(|e| failed(&e))?;
    Ok(Ready {
        publish,
        rules,
        tokens,
        doors,
        routes,
    })
}

/// The listeners come first, for theirs is the one system call left (a rename): they are put at their places, and where one of them cannot be, all of them
/// give their places back to those that are in force. Nothing fails after that.
async fn apply(daemon: &mut Daemon, new: Settings, ready: Ready) -> ReloadAnswer {
    let mut changes = vec![];
    let placed = Proxy::place(ready.routes).map_err(|e| failed(&e))?;
    let doors = Doors::place(ready.doors).map_err(|e| failed(&e))?;
    let level = new.log.level;
    let changes_level = level != daemon.settings.log.level;
    if changes_level {
        let set = daemon.logging.set_level(super::level(level));
        set.map_err(|e| failed(&e))?;
    }
    // Before the routes: none is open for a moment to callers whom the new rules keep out, nor is one that ends to those whom they let in elsewhere.
    daemon.proxy.retire(&placed);
    daemon.google.access.replace(ready.rules);
    let moved = daemon.doors.apply(doors, &daemon.apis);
    changes.extend(moved.into_iter().map(|api| api.key().to_owned()));
    let routes = daemon.proxy.apply(placed);
    changes.extend(routes.into_iter().map(|name| format!("proxy {name}")));
    if new.access != daemon.settings.access {
        changes.push("access".to_owned());
    }
    if new.sds != daemon.settings.sds {
        daemon.apis.workload.rename_secrets(new.sds.clone());
        changes.push("api.workload.sds".to_owned());
    }
    if let Some(tokens) = ready.tokens {
        daemon.google.apply(tokens);
        changes.push("tokens".to_owned());
    }
    if let Some(ready) = ready.publish {
        daemon.publishing.apply(ready);
        changes.push("publish".to_owned());
    }
    if new.identity != daemon.settings.identity {
        let wanted = new.identity.source != SourceSettings::None;
        daemon.publishing.expect_identity(wanted);
        daemon.apis.workload.expect_identity(wanted);
        daemon.inlet.replace(new.identity.clone()).await;
        changes.push("identity".to_owned());
    }
    // After the identity: what the store has let go is told too.
    daemon.publishing.verify_all();
    if changes_level {
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
