//! The environment as Google's clients look at it. In: variables, read by the wiring. Out: where their files are. Never reads a variable or a
//! file itself.
use crate::http::web;
use std::path::PathBuf;

/// The environment as far as Application Default Credentials look at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) credentials: Option<PathBuf>,
    /// `CLOUDSDK_CONFIG`.
    pub(crate) cloudsdk_config: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` is `1`.
    pub(crate) allow_executables: bool,
    /// The way out to the web.
    pub(crate) proxies: web::Proxies,
}

impl Environment {
    /// Where `gcloud auth application-default login` leaves its file. None without a home.
    pub(crate) fn well_known(&self) -> Option<PathBuf> {
        let directory = match (&self.cloudsdk_config, &self.home) {
            (Some(directory), _) => directory.clone(),
            (None, Some(home)) => home.join(".config/gcloud"),
            (None, None) => return None,
        };
        Some(directory.join("application_default_credentials.json"))
    }
}
