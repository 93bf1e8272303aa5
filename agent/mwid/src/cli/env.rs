//! `mwid env`: which daemon in, the environment that points programs to what it serves out. Never asks the daemon.
use super::{Exit, Failure, args, daemon, output};
use crate::config::{FileSet, Settings};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

pub(super) fn run(args: &args::EnvArgs) -> Result<(), Failure> {
    let variables = variables(&args.at)?;
    let text = if args.json {
        json(&variables)?
    } else {
        shell(&variables)?
    };
    output::data(&text)
}

pub(super) type Variables = BTreeMap<&'static str, OsString>;

/// Only what this version serves.
pub(super) fn variables(at: &args::At) -> Result<Variables, Failure> {
    Ok(of(&daemon::settings(at)?))
}

fn of(settings: &Settings) -> Variables {
    let mut variables = BTreeMap::from([("MWID_RUNTIME_DIR", settings.runtime_dir.clone().into())]);
    if let Some(published) = with_credential_bundle(settings) {
        variables.insert("SPIFFE_CREDENTIAL_FOLDER", published.into());
    }
    variables
}

fn with_credential_bundle(settings: &Settings) -> Option<&Path> {
    settings
        .publish
        .iter()
        .find(|publish| publish.files.contains(&FileSet::CredentialBundle))
        .map(|publish| publish.directory.as_path())
}

fn text<'a>(name: &str, value: &'a OsString) -> Result<&'a str, Failure> {
    value.to_str().ok_or_else(|| {
        Failure::new(
            Exit::Config,
            format!(
                "{name} would be {}, which is not UTF-8; use another directory",
                value.display()
            ),
        )
    })
}

/// `export NAME='value'` a line, safe to `eval` in any POSIX shell.
fn shell(variables: &Variables) -> Result<String, Failure> {
    let mut lines = String::new();
    for (name, value) in variables {
        lines += &format!("export {name}={}\n", quoted(text(name, value)?));
    }
    Ok(lines)
}

/// In single quotes nothing is special but the quote itself (POSIX Shell Command Language, 2.2.2).
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn json(variables: &Variables) -> Result<String, Failure> {
    let mut object = serde_json::Map::new();
    for (name, value) in variables {
        object.insert((*name).to_owned(), text(name, value)?.into());
    }
    Ok(format!("{:#}\n", serde_json::Value::Object(object)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables_of(value: &str) -> Variables {
        BTreeMap::from([("SPIFFE_CREDENTIAL_FOLDER", value.into())])
    }

    #[test]
    fn a_shell_reads_back_exactly_what_was_meant() {
        for value in [
            "/run/mwid/identity",
            "/tmp/a b",
            "/tmp/it's",
            "/tmp/$(reboot)`id`\"\\",
            "/tmp/new\nline",
        ] {
            let script = format!(
                "{}printf %s \"$SPIFFE_CREDENTIAL_FOLDER\"",
                shell(&variables_of(value)).unwrap()
            );
            let out = std::process::Command::new("/bin/sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), value, "{script}");
        }
    }

    #[test]
    fn json_is_one_object() {
        let text = json(&variables_of("/tmp/\"x\"")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["SPIFFE_CREDENTIAL_FOLDER"], "/tmp/\"x\"");
    }

    #[test]
    fn the_folder_is_the_first_that_has_the_bundle() {
        let mut settings = Settings::default();
        assert_eq!(
            of(&settings)["SPIFFE_CREDENTIAL_FOLDER"],
            "/run/mwid/identity",
            "the default directory has it"
        );
        settings.publish[0].files = vec![FileSet::Gce];
        assert!(!of(&settings).contains_key("SPIFFE_CREDENTIAL_FOLDER"));
        assert_eq!(of(&settings)["MWID_RUNTIME_DIR"], "/run/mwid");
    }
}
