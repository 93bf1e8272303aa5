//! Reactions: are the commands, units and pid files there that they name?
use super::looker::may_execute;
use super::{Finding, Scene};
use crate::config::{Reaction, SignalTarget};
use std::path::Path;

/// Where systemd keeps units, and the mark that it runs (sd_booted(3)).
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const BOOTED: &str = "/run/systemd/system";

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let units: Vec<&Path> = UNITS.iter().map(Path::new).collect();
    scene
        .settings
        .publish
        .iter()
        .flat_map(|entry| &entry.then)
        .filter_map(|reaction| judge(reaction, Path::new(BOOTED), &units))
        .collect()
}

fn judge(reaction: &Reaction, booted: &Path, units: &[&Path]) -> Option<Finding> {
    match reaction {
        Reaction::Reload { unit: name }
        | Reaction::Signal {
            of: SignalTarget::Unit(name),
            ..
        } => unit(name, booted, units),
        Reaction::Signal {
            of: SignalTarget::PidFile(file),
            ..
        } => pid_file(file),
        Reaction::Run { command, .. } => self::command(Path::new(command.first()?)),
    }
}

const WHY: &str =
    "after each publish this reaction would fail, and the program would go on with the old certificate";

fn unit(name: &str, booted: &Path, units: &[&Path]) -> Option<Finding> {
    if !booted.is_dir() {
        return Some(
            Finding::error(
                "no_systemd",
                format!("systemd does not run here, so it cannot be asked for {name}"),
            )
            .why(WHY)
            .fix("use { signal: HUP, of: /path/to/pid-file } or { run: [...] }"),
        );
    }
    let known = |name: &str| units.iter().any(|dir| dir.join(name).symlink_metadata().is_ok());
    let template = name
        .split_once('@')
        .and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    if known(name) || template.is_some_and(|template| known(&template)) {
        return None;
    }
    Some(
        Finding::warning("unit_missing", format!("no file of the unit {name} was found"))
            .why(WHY)
            .fix(format!(
                "correct the name (systemctl status {name}), or install it"
            )),
    )
}

fn pid_file(file: &Path) -> Option<Finding> {
    file.metadata().err().map(|error| {
        Finding::warning(
            "pid_file_missing",
            format!("the pid file {} cannot be seen: {error}", file.display()),
        )
        .why(WHY)
        .fix("start the program that writes it, or correct the path")
    })
}

fn command(program: &Path) -> Option<Finding> {
    let trouble = match program.metadata() {
        Err(error) => error.to_string(),
        Ok(metadata) if !metadata.is_file() => "not a regular file".to_owned(),
        Ok(_) => may_execute(program).err()?.desc().to_owned(),
    };
    Some(
        Finding::error(
            "command_not_executable",
            format!("the command {} cannot be run: {trouble}", program.display()),
        )
        .why(WHY)
        .fix(format!("correct the path, or: chmod +x {}", program.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn commands_and_pid_files_that_are_not_there_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let run = |program: &Path| {
            let command = vec![program.display().to_string()];
            judge(
                &Reaction::Run {
                    command,
                    timeout: Duration::from_secs(1),
                },
                dir.path(),
                &[],
            )
            .map(|f| f.id)
        };
        let file = dir.path().join("file");
        assert_eq!(run(&file), Some("command_not_executable"), "missing");
        std::fs::write(&file, "").unwrap();
        assert_eq!(
            run(&file),
            Some("command_not_executable"),
            "no x, which binds root too"
        );
        assert_eq!(run(dir.path()), Some("command_not_executable"), "a directory");
        assert_eq!(run(Path::new("/bin/sh")), None);
        assert_eq!(pid_file(&file), None);
        assert_eq!(pid_file(&dir.path().join("no")).unwrap().id, "pid_file_missing");
    }

    #[test]
    fn units_that_systemd_cannot_know_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.service", "b@.service"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let reload = |name: &str, booted: &Path| unit(name, booted, &[dir.path()]).map(|f| f.id);
        assert_eq!(reload("a.service", dir.path()), None);
        assert_eq!(reload("b@x.service", dir.path()), None);
        assert_eq!(reload("c.service", dir.path()), Some("unit_missing"));
        assert_eq!(reload("a.service", &dir.path().join("no")), Some("no_systemd"));
    }
}
