//! Source `metadata`: the VM's metadata server, or the embedded platform's (`dev`).
//!
//! In: questions, and a server. Out: tokens as narrow as was asked. Plain `scopes` are never relied on: Compute Engine ignores them. Never hands
//! out a token that is wider than was asked for, or for another audience, passes a binding on as it came, and hands nothing on whose
//! binding was ignored.
mod answer;
mod binding;
mod error;
mod path;
mod talk;
#[cfg(test)]
mod tests;

pub(super) use error::ServerError;

use super::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, Binding, IdAsk, IdToken, Scopes, TokenError,
    TokenSource,
};
use crate::metadata::Client;
use answer::AnswerError;
use binding::BindingError;
use mtls_identity::{Clock, UnixTime};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talk::{Got, Wanted};
use tokio::time::Instant;

/// How long the server's proof that it knows `enforce_scopes` holds; a VM may move to another host.
const PROOF_HOLDS: Duration = Duration::from_secs(10 * 60);
/// How long it is believed that it does not.
const LACK_HOLDS: Duration = Duration::from_secs(5 * 60);
/// A proof that came to nothing is told to all who waited for it, and is then tried again.
const TROUBLE_HOLDS: Duration = Duration::from_secs(1);
/// The scopes of a VM's account change only while the VM is stopped.
const ACCOUNT_HOLDS: Duration = Duration::from_secs(10 * 60);
/// Accounts that are remembered. A VM has one.
const MOST_ACCOUNTS: usize = 16;
/// Between two lines of the log about tokens that are not bound.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

const ACCESS: &str = "access token";
const ID: &str = "ID token";
const ACCOUNT: &str = "account";

type Proof = Result<bool, Arc<ServerError>>;

pub(super) struct Source {
    client: Client,
    kind: &'static str,
    clock: Clock,
    /// Whether the server knows `enforce_scopes`, and until when that is believed. Held while it is asked, so that it is asked once.
    enforces: tokio::sync::Mutex<Option<(Proof, Instant)>>,
    /// What accounts are known, and until when.
    accounts: Mutex<BTreeMap<Account, (AccountInfo, Instant)>>,
    /// When the log was last told of a token that is not bound.
    told_unbound: Mutex<Option<Instant>>,
}

impl Source {
    pub(super) fn new(client: Client, kind: &'static str, clock: Clock) -> Self {
        Self {
            client,
            kind,
            clock,
            enforces: tokio::sync::Mutex::default(),
            accounts: Mutex::default(),
            told_unbound: Mutex::default(),
        }
    }

    async fn access_token(&self, ask: &AccessAsk) -> Result<AccessToken, Arc<ServerError>> {
        let account = path::account(&ask.account)?;
        let binding = ask.binding.as_ref();
        let (path, without, asked) = match &ask.scopes {
            Scopes::Default => (path::whole(account, binding), path::whole(account, None), None),
            Scopes::Exactly(asked) => {
                let narrow = |binding| path::narrow(account, asked, binding);
                let (path, without) = (narrow(binding)?, narrow(None)?);
                if self.known(&ask.account).await?.scopes == *asked {
                    (
                        path::whole(account, binding),
                        path::whole(account, None),
                        Some(asked),
                    )
                } else if self.is_enforcing(account).await? {
                    (path, without, Some(asked))
                } else {
                    return Err(Arc::new(ServerError::NoEnforcement {
                        server: self.client.server(),
                        asked: listed(asked),
                    }));
                }
            }
        };
        let got = match binding {
            None => self.one(account, &path, None).await,
            Some(binding) => self.bound(account, &path, &without, binding).await,
        };
        let (token, asked_at) = got.map_err(|error| match (error, asked) {
            // With a binding it may be the binding that is wrong: the server's words say it.
            (ServerError::BadRequest { server, words, .. }, Some(asked)) if binding.is_none() => {
                ServerError::NotAmongTheAccounts {
                    server,
                    asked: listed(asked),
                    words,
                }
            }
            (error, _) => error,
        })?;
        if let (Some(asked), Some(given)) = (asked, token.scopes)
            && given != *asked
        {
            return Err(Arc::new(ServerError::Scopes {
                server: self.client.server(),
                asked: listed(asked),
                given: listed(&given),
            }));
        }
        let expires_at = UnixTime::since_unix_epoch(Duration::from_secs(asked_at.as_secs()) + token.life);
        Ok(AccessToken::new(token.secret, token.token_type, expires_at))
    }

    /// One access token, and the moment before it was asked for.
    async fn one(
        &self,
        account: &str,
        path: &str,
        binding: Option<&Binding>,
    ) -> Result<(answer::Access, UnixTime), ServerError> {
        let got = self.ask(ACCESS, account, path, binding).await?;
        let token = answer::access(&got.body).map_err(|error| self.unusable(ACCESS, error))?;
        Ok((token, got.asked_at))
    }

    /// A bound one, which nothing in it tells: the server has to show that it looks at the binding. Around a renewal of the server's own token
    /// it cannot, so it may try twice.
    async fn bound(
        &self,
        account: &str,
        path: &str,
        without: &str,
        binding: &Binding,
    ) -> Result<(answer::Access, UnixTime), ServerError> {
        let mut may_try_again = true;
        loop {
            let (before, _) = self.one(account, without, None).await?;
            let (token, asked_at) = self.one(account, path, Some(binding)).await?;
            let (after, _) = self.one(account, without, None).await?;
            match binding::access_token(&token.secret, &before.secret, &after.secret) {
                Ok(()) => return Ok((token, asked_at)),
                Err(BindingError::NoSign) if may_try_again => may_try_again = false,
                Err(source) => return Err(self.not_bound(ACCESS, source)),
            }
        }
    }

    /// On record, seldom: who asks for bound tokens believes that he has them.
    fn not_bound(&self, what: &'static str, source: BindingError) -> ServerError {
        let server = self.client.server();
        let mut told = self.told_unbound.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
            *told = Some(Instant::now());
            tracing::warn!(%server, "no {what} was handed out: a bound one was asked for, and {source}");
        }
        ServerError::NotBound { server, what, source }
    }

    async fn id_token(&self, ask: &IdAsk) -> Result<IdToken, Arc<ServerError>> {
        let account = path::account(&ask.account)?;
        let path = path::id(account, &ask.audience, ask.format, ask.binding.as_ref());
        let got = self.ask(ID, account, &path, ask.binding.as_ref()).await?;
        let token = answer::id(&got.body).map_err(|error| self.unusable(ID, error))?;
        let server = self.client.server();
        if token.audience != ask.audience {
            return Err(Arc::new(ServerError::Audience {
                server,
                asked: ask.audience.clone(),
                given: answer::words(token.audience.as_bytes()),
            }));
        }
        if let Some(binding) = &ask.binding {
            binding::id_token(binding, token.thumbprint.as_deref()).map_err(|why| self.not_bound(ID, why))?;
        }
        if token.expires_at <= got.asked_at.as_secs() {
            return Err(Arc::new(ServerError::Expired { server }));
        }
        // By a clock of ours that is behind, it would be served when it is over.
        let last = got.asked_at.as_secs().saturating_add(token.life);
        let expires_at = UnixTime::since_unix_epoch(Duration::from_secs(token.expires_at.min(last)));
        Ok(IdToken::new(token.secret, expires_at))
    }

    async fn info(&self, whose: &Account) -> Result<AccountInfo, Arc<ServerError>> {
        let account = path::account(whose)?;
        let got = self.ask(ACCOUNT, account, &path::info(account), None).await?;
        let told = answer::account(&got.body).map_err(|error| self.unusable(ACCOUNT, error))?;
        let info = AccountInfo {
            email: told.email,
            aliases: told.aliases,
            scopes: told.scopes,
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MOST_ACCOUNTS {
            accounts.clear();
        }
        accounts.insert(whose.clone(), (info.clone(), Instant::now() + ACCOUNT_HOLDS));
        Ok(info)
    }

    /// As it was told not long ago, or now.
    async fn known(&self, whose: &Account) -> Result<AccountInfo, Arc<ServerError>> {
        let known = {
            let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            accounts
                .get(whose)
                .filter(|(_, until)| Instant::now() < *until)
                .cloned()
        };
        match known {
            Some((info, _)) => Ok(info),
            None => self.info(whose).await,
        }
    }

    /// Whether the server has shown that it knows `enforce_scopes`: it refuses to be told not to. One that does not know the parameter
    /// answers with a token of all scopes, which ends here.
    async fn is_enforcing(&self, account: &str) -> Result<bool, Arc<ServerError>> {
        let mut known = self.enforces.lock().await;
        if let Some((proof, until)) = &*known
            && Instant::now() < *until
        {
            return proof.clone();
        }
        let (proof, holds) = match self.ask(ACCESS, account, &path::proof(account), None).await {
            Ok(_wide) => (Ok(false), LACK_HOLDS),
            Err(ServerError::BadRequest { .. }) => (Ok(true), PROOF_HOLDS),
            Err(error) => (Err(Arc::new(error)), TROUBLE_HOLDS),
        };
        *known = Some((proof.clone(), Instant::now() + holds));
        proof
    }

    async fn ask(
        &self,
        what: &'static str,
        account: &str,
        path: &str,
        binding: Option<&Binding>,
    ) -> Result<Got, ServerError> {
        let wanted = Wanted {
            what,
            account,
            path,
            json: binding.and_then(|binding| binding.body.as_deref()),
        };
        talk::ask(&self.client, &self.clock, wanted).await
    }

    fn unusable(&self, what: &'static str, source: AnswerError) -> ServerError {
        ServerError::Answer {
            server: self.client.server(),
            what,
            source,
        }
    }
}

impl TokenSource for Source {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn place(&self) -> Option<String> {
        Some(self.client.server().to_string())
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async { self.access_token(ask).await.map_err(TokenError::Metadata) })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async { self.id_token(ask).await.map_err(TokenError::Metadata) })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async { self.info(account).await.map_err(TokenError::Metadata) })
    }
}

/// In words, bounded.
fn listed(scopes: &BTreeSet<String>) -> String {
    let all = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    answer::words(all.as_bytes())
}
