//! A file of Application Default Credentials: is it there, does it say what mwid understands, and who else can read it?
use super::Finding;
use super::key_file::everybody_reads;
use crate::report::Causes;
use crate::tokens::{AdcError, judge_credentials};
use std::path::Path;

pub(super) fn probe(file: &Path) -> Vec<Finding> {
    if let Err(error) = judge_credentials(file) {
        return vec![refused(file, &error)];
    }
    let open = file.canonicalize().is_ok_and(|file| everybody_reads(&file));
    open.then(|| {
        let file = file.display();
        Finding::warning(
            "credentials_readable_by_everybody",
            format!("everybody may read the credentials file {file}"),
        )
        .why("every process on this machine can make the tokens itself; mwid's access rules bind only those who ask mwid")
        .fix(format!("chown mwid {file} && chmod 0400 {file}"))
    })
    .into_iter()
    .collect()
}

fn refused(file: &Path, error: &AdcError) -> Finding {
    let (id, fix) = match error {
        AdcError::NotThere { .. } | AdcError::NoPlace => (
            "credentials_absent",
            "put it there, or correct the path (tokens.source: { adc: { file: … } })".to_owned(),
        ),
        AdcError::Unreadable { .. } => (
            "credentials_unreadable",
            format!(
                "let the daemon's user read it: chown mwid {0} && chmod 0400 {0}; and not under /home, which the service does not see",
                file.display()
            ),
        ),
        _ => (
            "credentials_not_usable",
            "make it anew: gcloud auth application-default login, or gcloud iam service-accounts keys create"
                .to_owned(),
        ),
    };
    Finding::error(id, Causes(error).to_string())
        .why("until it can be used, mwid has no tokens to give")
        .fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    const USER: &str = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "SECRET", "refresh_token": "SECRET"}"#;

    fn ids(file: &Path) -> Vec<&'static str> {
        let found = probe(file);
        assert!(!format!("{found:?}").contains("SECRET"), "{found:?}");
        found.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_file_that_gives_no_tokens_or_gives_them_to_everybody_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("adc.json");
        let mode = |mode| set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert_eq!(ids(&file), ["credentials_absent"]);
        assert_eq!(ids(dir.path()), ["credentials_not_usable"], "a directory");
        write(&file, "{\"type\": \"SECRET\"").unwrap();
        assert_eq!(ids(&file), ["credentials_not_usable"]);
        write(&file, USER).unwrap();
        mode(0o600);
        assert_eq!(ids(&file), [""; 0]);
        mode(0o644);
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ids(&file), ["credentials_readable_by_everybody"]);
        set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert_eq!(ids(&file), [""; 0], "nobody gets there");
        mode(0o000);
        if nix::unistd::geteuid().is_root() {
            println!("skipped: root reads every file");
            return;
        }
        assert_eq!(ids(&file), ["credentials_unreadable"]);
    }
}
