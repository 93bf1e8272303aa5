//! The source `impersonate`: tokens of a service account, made by the IAM Credentials API for who may act as it. This is how a plain VM of
//! Compute Engine gets tokens with narrower scopes than its own.
//!
//! In: another source, whose default token is the key to the API. Out: tokens with exactly the asked scopes or audience. The other source's
//! token is kept here while it lives, and never handed out.
#[cfg(test)]
mod tests;

use super::endpoint::iam::{self, IamError, Target};
use super::endpoint::kept::Kept;
use super::endpoint::{CLOUD_PLATFORM, Reach, or_cloud_platform};
use super::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, AtHome, Binding, IdAsk, IdFormat, IdToken, Scopes,
    TokenError, TokenSource,
};
use crate::http::web;
use mtls_identity::Clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const ENDPOINT: &str = "https://iamcredentials.googleapis.com";

pub(crate) struct Source {
    target: Target,
    from: Arc<dyn TokenSource>,
    key: Kept,
    /// Of the other source, when the key was fetched.
    key_version: AtomicU64,
    reach: Reach,
}

impl Source {
    /// `delegates` is the chain of service accounts in between, each of which may act as the next. Without an endpoint: the public one.
    pub(crate) fn new(
        email: &str,
        delegates: &[String],
        endpoint: Option<&str>,
        from: Arc<dyn TokenSource>,
        web: web::Client,
        clock: Clock,
    ) -> Result<Self, TokenError> {
        let endpoint = endpoint.unwrap_or(ENDPOINT);
        let target =
            Target::new(endpoint, email, delegates).map_err(|source| TokenError::ImpersonateUrl {
                endpoint: endpoint.to_owned(),
                source: Arc::new(source),
            })?;
        Ok(Self {
            target,
            key_version: AtomicU64::new(from.version()),
            from,
            key: Kept::default(),
            reach: Reach { web, clock },
        })
    }

    async fn key(&self) -> Result<Arc<AccessToken>, TokenError> {
        let ask = AccessAsk {
            account: Account::Default,
            scopes: Scopes::Default,
            binding: None,
        };
        let version = self.from.version();
        if self.key_version.swap(version, Relaxed) != version {
            self.key.clear().await;
        }
        self.key
            .get(&self.reach, async { self.from.access(&ask).await })
            .await
            .map_err(|cause| TokenError::ImpersonateKey {
                email: self.target.email.clone(),
                cause: Arc::new(cause),
            })
    }

    async fn access_token(&self, scopes: &Scopes) -> Result<AccessToken, TokenError> {
        let scopes = or_cloud_platform(scopes);
        let mut again = false;
        loop {
            let key = self.key().await?;
            match iam::access(&self.reach, &self.target, &key, &scopes).await {
                // The key may have been revoked since it was fetched.
                Err(IamError::Unauthorized { .. }) if !again => self.key.forget(&key).await,
                made => return made.map_err(told),
            }
            again = true;
        }
    }

    async fn id_token(&self, audience: &str, email: bool) -> Result<IdToken, TokenError> {
        let mut again = false;
        loop {
            let key = self.key().await?;
            match iam::id(&self.reach, &self.target, &key, audience, email).await {
                Err(IamError::Unauthorized { .. }) if !again => self.key.forget(&key).await,
                made => return made.map_err(told),
            }
            again = true;
        }
    }

    fn is_served(&self, account: &Account, binding: Option<&Binding>) -> Result<(), TokenError> {
        if binding.is_some() {
            return Err(TokenError::NoBinding { kind: self.kind() });
        }
        match account {
            Account::Named(asked) if !asked.eq_ignore_ascii_case(&self.target.email) => {
                Err(TokenError::OtherAccount {
                    kind: self.kind(),
                    asked: asked.clone(),
                    ours: self.target.email.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn told(error: IamError) -> TokenError {
    TokenError::Impersonate(Arc::new(error))
}

impl TokenSource for Source {
    fn kind(&self) -> &'static str {
        "impersonate"
    }

    fn patience(&self) -> Duration {
        self.from.patience()
    }

    fn place(&self) -> Option<String> {
        Some(self.target.email.clone())
    }

    fn version(&self) -> u64 {
        self.from.version()
    }

    fn home(&self) -> AtHome<'_> {
        self.from.home()
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async {
            self.is_served(&ask.account, ask.binding.as_ref())?;
            self.access_token(&ask.scopes).await
        })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async {
            self.is_served(&ask.account, ask.binding.as_ref())?;
            let email = matches!(ask.format, IdFormat::Full { .. });
            self.id_token(&ask.audience, email).await
        })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async {
            self.is_served(account, None)?;
            Ok(AccountInfo {
                email: self.target.email.clone(),
                aliases: vec!["default".to_owned()],
                scopes: BTreeSet::from([CLOUD_PLATFORM.to_owned()]),
            })
        })
    }
}
