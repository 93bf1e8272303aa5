//! Where Application Default Credentials are, as Google's clients look for them (AIP-4110). In: the environment as the wiring read it. Out: a
//! path. Never looks whether something is there.
use crate::tokens::Environment;
use std::path::PathBuf;

const FILE: &str = "application_default_credentials.json";

/// The file that the environment names, else gcloud's.
pub(crate) fn of(environment: &Environment) -> Option<PathBuf> {
    named(environment).or_else(|| well_known(environment))
}

/// By `GOOGLE_APPLICATION_CREDENTIALS`.
pub(crate) fn named(environment: &Environment) -> Option<PathBuf> {
    filled(environment.credentials.as_ref())
}

/// Where gcloud leaves it: below `CLOUDSDK_CONFIG`, else below the home directory.
pub(crate) fn well_known(environment: &Environment) -> Option<PathBuf> {
    let gcloud = filled(environment.cloudsdk_config.as_ref());
    let home = || filled(environment.home.as_ref()).map(|home| home.join(".config/gcloud"));
    gcloud.or_else(home).map(|directory| directory.join(FILE))
}

/// An empty variable is none.
fn filled(path: Option<&PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_where_googles_clients_look() {
        let path = |text: &str| Some(PathBuf::from(text));
        let mut environment = Environment::default();
        assert_eq!(of(&environment), None);
        environment.home = path("/home/a");
        let home = path("/home/a/.config/gcloud/application_default_credentials.json");
        assert_eq!(of(&environment), home);
        environment.cloudsdk_config = path("");
        assert_eq!(of(&environment), home);
        environment.cloudsdk_config = path("/etc/gcloud");
        let gcloud = path("/etc/gcloud/application_default_credentials.json");
        assert_eq!(of(&environment), gcloud);
        environment.credentials = path("/k.json");
        assert_eq!(of(&environment), path("/k.json"));
        assert_eq!(well_known(&environment), gcloud);
        assert_eq!(named(&environment), path("/k.json"));
    }
}
