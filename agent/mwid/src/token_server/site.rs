//! What all connections share. In: the rooms that know the answers. Out: values of the tree that are ours, and waiting for their change.
use super::Platform;
use super::account;
use super::guest::Guest;
use super::metrics::Metrics;
use super::mirror::{LONGEST_WAIT, Mirror};
use super::page::Page;
use super::query::{Alt, Query, QueryError};
use super::refusal::Refused;
use super::target::{Leaf, Target};
use super::words::TEXT;
use super::{refusal, words};
use crate::caller::Grant;
use crate::http::Holder;
use crate::http::reply::Reply;
use crate::report::Causes;
use crate::shutdown::Shutdown;
use crate::tokens::{Account, AccountInfo, TokenError, Tokens};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use mtls_identity::Clock;
use serde_json::json;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// Accounts change only with the settings or the platform's; somebody who waits for that is told within this time.
const LOOK: Duration = Duration::from_secs(10);

/// What clients ask for first of all, and cannot do without: known before an outage can begin.
const EARLY: &[&str] = &[UNIVERSE_DOMAIN, PROJECT_ID, INSTANCE];

const UNIVERSE_DOMAIN: &str = "universe/universe-domain";

const PROJECT_ID: &str = "project/project-id";

/// By whether it is there, Node's clients find out where they are; a no holds for the life of their process.
const INSTANCE: &str = "instance/";

pub(super) struct Site {
    pub(super) tokens: Tokens,
    pub(super) clock: Clock,
    mirror: RwLock<Mirrored>,
    pub(super) metrics: Metrics,
    shutdown: Shutdown,
}

/// The platform in force, and how to end what waits for it.
struct Mirrored {
    mirror: Arc<Mirror>,
    is_there: bool,
    until: Shutdown,
}

impl Mirrored {
    fn new(platform: Option<Platform>, metrics: &Metrics, shutdown: &Shutdown) -> Self {
        let until = shutdown.child();
        let is_named = platform.as_ref().is_some_and(|platform| platform.is_named);
        let client = platform.map(|platform| platform.client);
        let is_there = client.is_some();
        let mirror = Mirror::new(client, metrics.mirror.clone(), &until);
        if is_named {
            mirror.learn(EARLY);
        }
        Self {
            mirror,
            is_there,
            until,
        }
    }
}

/// What of a directory or value is wanted.
#[derive(Clone, Copy, Debug)]
struct Shape {
    recursive: bool,
    alt: Option<Alt>,
}

/// How long an answer may be held back until it differs.
struct Wait {
    /// What the caller has.
    last_etag: Option<String>,
    until: Instant,
}

impl Wait {
    fn wanted(query: &Query<'_>) -> Result<Option<Self>, QueryError> {
        let longest = query.seconds()?.map_or(LONGEST_WAIT, |seconds| {
            Duration::from_secs(seconds).min(LONGEST_WAIT)
        });
        if query.boolean("wait_for_change")? != Some(true) {
            return Ok(None);
        }
        Ok(Some(Self {
            last_etag: query.one("last_etag")?.map(str::to_owned),
            until: Instant::now() + longest,
        }))
    }
}

impl Site {
    pub(super) fn new(
        tokens: Tokens,
        platform: Option<Platform>,
        metrics: Metrics,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            clock: tokens.clock(),
            mirror: RwLock::new(Mirrored::new(platform, &metrics, shutdown)),
            tokens,
            metrics,
            shutdown: shutdown.clone(),
        }
    }

    pub(super) fn mirror(&self) -> Arc<Mirror> {
        let mirrored = self.mirror.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&mirrored.mirror)
    }

    /// Without one the tree holds only what is ours.
    pub(super) fn has_platform(&self) -> bool {
        let mirrored = self.mirror.read().unwrap_or_else(PoisonError::into_inner);
        mirrored.is_there
    }

    /// Another platform from now on. What was remembered of the one before is forgotten, and who waits for it is answered.
    pub(super) fn replace_platform(&self, platform: Option<Platform>) {
        let new = Mirrored::new(platform, &self.metrics, &self.shutdown);
        let mut mirrored = self.mirror.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *mirrored, new).until.ask();
    }

    /// Under which name an account is asked for: by its e-mail address the source's own is still its own. While nobody can tell whether it is that one,
    /// it is not asked for as another: its tokens may be here.
    pub(super) async fn account(&self, name: &str) -> Result<Account, TokenError> {
        if name == "default" {
            return Ok(Account::Default);
        }
        match self.own().await? {
            Some(own) if own.email == name || own.aliases.iter().any(|alias| alias == name) => {
                Ok(Account::Default)
            }
            _ => Ok(Account::Named(name.to_owned())),
        }
    }

    /// Of the account by this name. Another one than the source's own is asked for only for who may have tokens: whoever may have none could make
    /// up names, and each is a question to the platform, beside those that others wait for.
    async fn info(
        &self,
        name: &str,
        path: &str,
        grant: &Grant,
        whose: Option<Holder>,
    ) -> Result<Arc<AccountInfo>, Refused> {
        let no_info = |error| Refused::from(refusal::no_token(path, &error));
        let account = self.account(name).await.map_err(no_info)?;
        if account != Account::Default && !grant.has_tokens() {
            return Err(words::not_found(path).into());
        }
        let info = self.tokens.asked_by(whose).account(&account).await;
        info.map_err(no_info)
    }

    /// What a tree shows of the accounts. With no account it is empty; none: that cannot be told now.
    pub(super) async fn accounts(&self, grant: &Grant) -> Option<serde_json::Value> {
        match self.own().await {
            Ok(own) => Some(account::all(own.as_deref(), grant)),
            Err(error) => {
                tracing::debug!(error = %Causes(&error), "a tree is answered without accounts");
                None
            }
        }
    }

    /// The source's account, if it has one.
    async fn own(&self) -> Result<Option<Arc<AccountInfo>>, TokenError> {
        match self.tokens.account(&Account::Default).await {
            Ok(own) => Ok(Some(own)),
            Err(error) if error.failure() == crate::tokens::Failure::NoAccount => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A value or directory of ours, perhaps after it changed. `path` is the whole one.
    pub(super) async fn value(
        &self,
        target: Target<'_>,
        path: &str,
        query: &Query<'_>,
        who: (&impl Guest, Option<Holder>),
    ) -> Result<Reply, Refused> {
        let shape = Shape {
            recursive: query.boolean("recursive")? == Some(true),
            alt: query.alt()?,
        };
        let wait = Wait::wanted(query)?;
        let is_listing = matches!(
            target,
            Target::Accounts | Target::Account(_) | Target::Universe | Target::Tree(_)
        );
        if wait.is_some() && is_listing && !shape.recursive {
            return Err(refusal::bad(
                "wait_for_change is for values, and for directories with recursive=true",
            )
            .into());
        }
        let mut page = self.page(target, path, shape, who).await?;
        let Some(wait) = wait else {
            return Ok(page.reply());
        };
        let last = wait.last_etag.unwrap_or_else(|| page.etag.clone());
        while page.etag == last && Instant::now() < wait.until {
            let next = wait.until.min(Instant::now() + LOOK);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                // Who waits is told what there is.
                () = self.shutdown.asked() => break,
            }
            // While it cannot be told it has not changed.
            if let Ok(now) = self.page(target, path, shape, who).await {
                page = now;
            }
        }
        Ok(page.reply())
    }

    async fn page(
        &self,
        target: Target<'_>,
        path: &str,
        shape: Shape,
        (guest, whose): (&impl Guest, Option<Holder>),
    ) -> Result<Page, Refused> {
        let grant = guest
            .grant()
            .map_err(|denial| words::refused(StatusCode::FORBIDDEN, &Causes(&*denial).to_string()))?;
        let failed = |error: TokenError| refusal::no_token(path, &error);
        let Shape { recursive, alt } = shape;
        Ok(match target {
            Target::Accounts => {
                let own = self.own().await.map_err(failed)?;
                if recursive {
                    Page::tree(&account::all(own.as_deref(), &grant), alt)
                } else {
                    let names = own.as_deref().map(account::names).unwrap_or_default();
                    let names: Vec<_> = names.iter().map(|name| format!("{name}/")).collect();
                    Page::listing(&names.iter().map(String::as_str).collect::<Vec<_>>())
                }
            }
            Target::Account(name) => {
                let info = self.info(name, path, &grant, whose).await?;
                if recursive {
                    Page::tree(&account::one(&info, &grant), alt)
                } else {
                    Page::listing(account::LEAVES)
                }
            }
            Target::Leaf(name, leaf) => {
                let info = self.info(name, path, &grant, whose).await?;
                if leaf == Leaf::Email && info.email.is_empty() {
                    return Err(words::not_found(path).into());
                }
                Page::leaf(&account::leaf(&info, leaf, &grant), alt, TEXT)
            }
            Target::Universe if recursive => {
                Page::tree(&json!({"universeDomain": self.universe_domain().await?}), alt)
            }
            Target::Universe => Page::listing(&["universe-domain"]),
            Target::UniverseDomain => {
                let plain = HeaderValue::from_static("text/plain");
                Page::leaf(&json!(self.universe_domain().await?), alt, plain)
            }
            Target::Tree(PROJECT_ID) => match self.tokens.home().await.project {
                Some(project) => Page::leaf(&json!(project), alt, TEXT),
                None => return Err(words::not_found(path).into()),
            },
            Target::Tree(below) if matches!(below, "" | "instance/") => {
                self.own_tree(below, path, shape, &grant).await?
            }
            _ => return Err(words::not_found(path).into()),
        })
    }

    /// The directories above ours, where there is no platform to ask for the rest of them.
    async fn own_tree(&self, below: &str, path: &str, shape: Shape, grant: &Grant) -> Result<Page, Refused> {
        let is_root = below.is_empty();
        if !shape.recursive {
            let names: &[&str] = if is_root {
                &["instance/", "universe/"]
            } else {
                &["service-accounts/"]
            };
            return Ok(Page::listing(names));
        }
        let own = self.own().await;
        let own = own.map_err(|error| refusal::no_token(path, &error))?;
        let accounts = account::all(own.as_deref(), grant);
        let instance = json!({"serviceAccounts": accounts});
        if !is_root {
            return Ok(Page::tree(&instance, shape.alt));
        }
        let universe = json!({"universeDomain": self.universe_domain().await?});
        Ok(Page::tree(
            &json!({"instance": instance, "universe": universe}),
            shape.alt,
        ))
    }

    /// Which universe the credentials say that they work in.
    pub(super) async fn universe_of_credentials(&self) -> Option<String> {
        self.tokens.home().await.universe
    }

    /// The credentials know best which they work in; else the platform says it. Older platforms have none, and some an empty one: then it is Google's
    /// own, as every client assumes. While the platform cannot tell, nothing is assumed: a token of another universe would go to the wrong place.
    async fn universe_domain(&self) -> Result<String, Refused> {
        if let Some(domain) = self.universe_of_credentials().await {
            return Ok(domain);
        }
        let told = self.mirror().value(UNIVERSE_DOMAIN).await?;
        Ok(told.unwrap_or_else(|| "googleapis.com".to_owned()))
    }
}
