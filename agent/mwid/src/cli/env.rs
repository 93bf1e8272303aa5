//! `mwid env`: which daemon in, the environment that points programs to what it serves out. Never asks the daemon.
use super::{Exit, Failure, args, daemon, output, words};
use crate::config::{FileSet, Settings};
use crate::tokens::Environment;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

pub(super) fn run(args: &args::EnvArgs) -> Result<(), Failure> {
    let variables = variables(&args.at)?;
    say_what_wins(&variables);
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
    if let Some(address) = daemon::metadata_address(settings) {
        // Python pings the one and asks the other; Node and Go look at one each (reference of Google's clients, 2026).
        variables.insert("GCE_METADATA_HOST", address.to_string().into());
        variables.insert("GCE_METADATA_IP", address.to_string().into());
        variables.insert("GCE_METADATA_MTLS_MODE", "none".into());
    }
    if let Some(endpoint) = daemon::workload_endpoint(settings) {
        variables.insert("SPIFFE_ENDPOINT_SOCKET", endpoint.into());
    }
    if let Some(published) = with_credential_bundle(settings) {
        variables.insert("SPIFFE_CREDENTIAL_FOLDER", published.into());
    }
    variables
}

/// Google's clients look at two files of their own before they ask any metadata server. That is the user's choice, but a silent one.
pub(super) fn say_what_wins(variables: &Variables) {
    if let Some(line) = what_wins(variables, &crate::app::credentials_environment()) {
        output::talk(&line);
    }
}

fn what_wins(variables: &Variables, environment: &Environment) -> Option<String> {
    if !variables.contains_key("GCE_METADATA_HOST") {
        return None;
    }
    let shown = |file: &Path| words::clean(&file.display().to_string()).replace('\n', " ");
    if let Some(file) = &environment.credentials {
        return Some(format!(
            "mwid: GOOGLE_APPLICATION_CREDENTIALS is set: Google's clients use {} and do not ask mwid for tokens; unset it if they should",
            shown(file)
        ));
    }
    let file = environment.well_known().filter(|file| file.exists())?;
    Some(format!(
        "mwid: gcloud's credentials are there: Google's clients use {} and do not ask mwid for tokens; move it away, or run \
         `gcloud auth application-default revoke`, if they should",
        shown(&file)
    ))
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
    use crate::config::Address;

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

    #[test]
    fn googles_clients_are_pointed_here_only_while_there_is_somebody_to_ask() {
        let mut settings = Settings::default();
        let names = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_MTLS_MODE"];
        let variables = of(&settings);
        assert_eq!(
            names.map(|name| variables[name].to_str().unwrap()),
            ["127.0.0.1:8174", "127.0.0.1:8174", "none"]
        );
        settings.metadata.listen.remove(0);
        assert_eq!(of(&settings)["GCE_METADATA_HOST"], "[::1]:8174");
        settings.metadata.listen.clear();
        let variables = of(&settings);
        assert!(
            !names.iter().any(|name| variables.contains_key(name)),
            "{variables:?}"
        );
    }

    #[test]
    fn spiffe_clients_are_pointed_to_the_workload_api_wherever_it_is() {
        let endpoint = |settings: &Settings| {
            of(settings)
                .get("SPIFFE_ENDPOINT_SOCKET")
                .map(|uri| uri.to_str().unwrap().to_owned())
        };
        let at = |uri: &str| Some(uri.to_owned());
        let mut settings = Settings::default();
        assert_eq!(endpoint(&settings), at("unix:///run/mwid/workload.sock"));
        settings.workload.socket.as_mut().unwrap().path = "/tmp/a b%?#.sock".into();
        assert_eq!(endpoint(&settings), at("unix:///tmp/a%20b%25%3F%23.sock"));
        settings.workload.socket = None;
        assert_eq!(endpoint(&settings), None);
        settings.workload.listen = vec![
            Address::Systemd("workload".to_owned()),
            Address::Tcp("[::]:8081".parse().unwrap()),
            Address::Unix("/run/other.sock".into()),
        ];
        assert_eq!(endpoint(&settings), at("tcp://[::1]:8081"));
        settings.workload.listen.remove(1);
        assert_eq!(endpoint(&settings), at("unix:///run/other.sock"));
    }

    #[test]
    fn credentials_that_win_over_the_daemon_are_said() {
        let asked = of(&Settings::default());
        let named = |file: &str| Environment {
            credentials: Some(file.into()),
            ..Environment::default()
        };
        let said = what_wins(&asked, &named("/home/me/\x1b[2Jkey.json")).unwrap();
        assert!(
            said.contains("/home/me/") && said.contains("unset it") && !said.contains('\x1b'),
            "{said}"
        );
        assert_eq!(what_wins(&asked, &Environment::default()), None);
        let mut off = Settings::default();
        off.metadata.listen.clear();
        assert_eq!(
            what_wins(&of(&off), &named("/k")),
            None,
            "nobody is asked here anyway"
        );
    }

    #[test]
    fn so_are_those_that_gcloud_has_left() {
        let asked = of(&Settings::default());
        let config = tempfile::tempdir().unwrap();
        let gcloud = Environment {
            cloudsdk_config: Some(config.path().into()),
            ..Environment::default()
        };
        assert_eq!(what_wins(&asked, &gcloud), None, "there are none");
        let file = gcloud.well_known().unwrap();
        std::fs::write(&file, "{}").unwrap();
        let said = what_wins(&asked, &gcloud).unwrap();
        assert!(
            said.contains(file.to_str().unwrap()) && said.contains("revoke"),
            "{said}"
        );
    }
}
