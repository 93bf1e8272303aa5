//! The source `adc`: Application Default Credentials, for development and for machines outside of Google (AIP-4110).
//!
//! In: a credentials file, where Google's own tools leave it. Out: tokens with exactly the asked scopes or audience. The file is looked at
//! anew at each question, and read again when it changed. Never keeps a token for callers (the cache does), never shows what the file holds.
//!
//! Ours, and no crate's: google-cloud-auth brings 136 crates with an HTTP client of its own, and takes neither a clock, nor an endpoint, nor
//! a client from outside, so its flows could not be tested here; what is needed of them is small. As Google's own clients do since 2023, URLs
//! in the file are followed to any host with https: who can write the file decides whom to ask.

mod error;
mod external;
mod file;
mod key;
mod load;
#[cfg(test)]
mod tests;
mod user;

pub(crate) use error::AdcError;

use super::endpoint::iam::{self, IamError};
use super::endpoint::{CLOUD_PLATFORM, EndpointError, Reach, or_cloud_platform};
use super::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, AtHome, Binding, Environment, Home, IdAsk,
    IdFormat, IdToken, Scopes, TokenError, TokenSource,
};
use crate::http::web;
use crate::report::Causes;
use file::Own;
use load::{Loaded, Newest};
use mtls_identity::Clock;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whether this file, as it is now, could give tokens: for who only looks. Asks nobody.
pub(crate) fn judge(file: &Path) -> Result<(), AdcError> {
    Newest::default().look(file).map(drop)
}

/// For everything but a program: the exchange of what it gave, and the impersonation.
const EXCHANGED_WITHIN: Duration = Duration::from_secs(35);
/// A program may take two minutes (AIP-4117).
pub(super) const LONGEST_PATIENCE: Duration = Duration::from_secs(120 + 35);

pub(crate) struct Source {
    /// None: nobody says where a file could be.
    path: Option<PathBuf>,
    allow_executables: bool,
    reach: Reach,
    newest: Arc<Newest>,
}

impl Source {
    /// Without a file: the one that Google's clients would find. Nothing is read before somebody asks.
    pub(crate) fn open(
        file: Option<PathBuf>,
        environment: &Environment,
        web: web::Client,
        clock: Clock,
    ) -> Self {
        Self {
            path: file
                .or_else(|| environment.credentials.clone())
                .or_else(|| environment.well_known()),
            allow_executables: environment.allow_executables,
            reach: Reach { web, clock },
            newest: Arc::default(),
        }
    }

    /// The file as it is now.
    async fn look(&self) -> Result<Arc<Loaded>, AdcError> {
        let path = self.path.clone().ok_or(AdcError::NoPlace)?;
        let (newest, of) = (Arc::clone(&self.newest), path.clone());
        let looking = tokio::task::spawn_blocking(move || newest.look(&of));
        looking.await.unwrap_or_else(|stopping| {
            Err(AdcError::Unreadable {
                path,
                source: std::io::Error::other(stopping),
            })
        })
    }

    /// Checks whom the question is about.
    async fn served(&self, account: &Account, binding: Option<&Binding>) -> Result<Arc<Loaded>, TokenError> {
        if binding.is_some() {
            return Err(TokenError::NoBinding { kind: self.kind() });
        }
        let loaded = self.look().await.map_err(told)?;
        if let Account::Named(asked) = account {
            let ours = &self.info(&loaded).await.map_err(told)?.email;
            if !asked.eq_ignore_ascii_case(ours) {
                return Err(TokenError::OtherAccount {
                    kind: self.kind(),
                    asked: asked.clone(),
                    ours: ours.clone(),
                });
            }
        }
        Ok(loaded)
    }

    async fn access_token(&self, loaded: &Loaded, scopes: &Scopes) -> Result<AccessToken, AdcError> {
        let Some(target) = &loaded.target else {
            return self.own(loaded, scopes).await;
        };
        let scopes = or_cloud_platform(scopes);
        let mut again = false;
        loop {
            let key = self.key(loaded).await?;
            match iam::access(&self.reach, target, &key, &scopes).await {
                Err(IamError::Unauthorized { .. }) if !again => loaded.key.forget(&key).await,
                made => return made.map_err(|source| of_iam(loaded, source)),
            }
            again = true;
        }
    }

    async fn id_token(&self, loaded: &Loaded, ask: &IdAsk) -> Result<IdToken, AdcError> {
        let Some(target) = &loaded.target else {
            return self.own_id_token(loaded, &ask.audience).await;
        };
        let email = matches!(ask.format, IdFormat::Full { .. });
        let mut again = false;
        loop {
            let key = self.key(loaded).await?;
            match iam::id(&self.reach, target, &key, &ask.audience, email).await {
                Err(IamError::Unauthorized { .. }) if !again => loaded.key.forget(&key).await,
                made => return made.map_err(|source| of_iam(loaded, source)),
            }
            again = true;
        }
    }

    async fn own_id_token(&self, loaded: &Loaded, audience: &str) -> Result<IdToken, AdcError> {
        match &loaded.own {
            Own::User(user) => user::id(&self.reach, loaded, user, audience).await,
            Own::ServiceAccount(account) => key::id(&self.reach, account, audience)
                .await
                .map_err(|source| of_key(loaded, source)),
            Own::External(_) => Err(AdcError::NoIdTokens {
                path: loaded.path.clone(),
            }),
        }
    }

    /// The acting account's token: the one that makes the target's.
    async fn key(&self, loaded: &Loaded) -> Result<Arc<AccessToken>, AdcError> {
        let fetch = async {
            // A person's default would be wider than what this needs.
            let cloud = BTreeSet::from([CLOUD_PLATFORM.to_owned()]);
            let own = self.own(loaded, &Scopes::Exactly(cloud.clone())).await?;
            match &loaded.via {
                None => Ok(own),
                Some(via) => iam::access(&self.reach, via, &own, &cloud)
                    .await
                    .map_err(|source| of_iam(loaded, source)),
            }
        };
        loaded.key.get(&self.reach, fetch).await
    }

    /// A token of the credentials themselves.
    async fn own(&self, loaded: &Loaded, scopes: &Scopes) -> Result<AccessToken, AdcError> {
        match &loaded.own {
            Own::User(user) => user::access(&self.reach, user, scopes)
                .await
                .map_err(|source| of_endpoint(loaded, source)),
            Own::ServiceAccount(account) => key::access(&self.reach, account, scopes)
                .await
                .map_err(|source| of_key(loaded, source)),
            Own::External(file) => {
                let scopes = or_cloud_platform(scopes);
                external::exchange(&self.reach, loaded, file, &scopes, self.allow_executables).await
            }
        }
    }

    async fn info<'a>(&self, loaded: &'a Loaded) -> Result<&'a AccountInfo, AdcError> {
        let known = |email: &String| AccountInfo {
            email: email.clone(),
            aliases: vec!["default".to_owned()],
            scopes: BTreeSet::from([CLOUD_PLATFORM.to_owned()]),
        };
        let find = || async {
            match (&loaded.target, &loaded.own) {
                (Some(target), _) => Ok(known(&target.email)),
                (None, Own::ServiceAccount(account)) => Ok(known(&account.email)),
                // No service account: the pool's provider is the only name there is.
                (None, Own::External(file)) => Ok(known(&file.audience)),
                (None, Own::User(user)) => user::info(&self.reach, user)
                    .await
                    .map_err(|source| of_endpoint(loaded, source)),
            }
        };
        loaded.info.get_or_try_init(find).await
    }
}

fn told(error: AdcError) -> TokenError {
    TokenError::Adc(Arc::new(error))
}

fn of_endpoint(loaded: &Loaded, source: EndpointError) -> AdcError {
    AdcError::Endpoint {
        path: loaded.path.clone(),
        source,
    }
}

fn of_iam(loaded: &Loaded, source: IamError) -> AdcError {
    AdcError::Iam {
        path: loaded.path.clone(),
        source,
    }
}

fn of_key(loaded: &Loaded, source: key::KeyError) -> AdcError {
    match source {
        key::KeyError::Endpoint(source) => of_endpoint(loaded, source),
        key::KeyError::Sign => AdcError::Sign {
            path: loaded.path.clone(),
        },
    }
}

impl TokenSource for Source {
    fn kind(&self) -> &'static str {
        "adc"
    }

    fn patience(&self) -> Duration {
        let program = self.newest.program_within();
        program.map_or(LONGEST_PATIENCE, |within| within + EXCHANGED_WITHIN)
    }

    fn place(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.display().to_string())
    }

    fn version(&self) -> u64 {
        self.path.as_ref().map_or(0, |path| self.newest.version(path))
    }

    fn home(&self) -> AtHome<'_> {
        Box::pin(async {
            match self.look().await {
                Ok(loaded) => loaded.home.clone(),
                // Who asks for a token is told of it. Tokens of the file as it was are served as before, and so belong where they did.
                Err(error) => {
                    tracing::debug!(error = %Causes(&error), "the credentials do not say where they belong");
                    self.newest
                        .last()
                        .map_or_else(Home::default, |loaded| loaded.home.clone())
                }
            }
        })
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async {
            let loaded = self.served(&ask.account, ask.binding.as_ref()).await?;
            self.access_token(&loaded, &ask.scopes).await.map_err(told)
        })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async {
            let loaded = self.served(&ask.account, ask.binding.as_ref()).await?;
            self.id_token(&loaded, ask).await.map_err(told)
        })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async {
            let loaded = self.served(account, None).await?;
            Ok(self.info(&loaded).await.map_err(told)?.clone())
        })
    }
}
