//! Source `auto`: whichever source of tokens this machine has.
//!
//! In: the environment, whether a metadata server is to be expected, whether gcloud's file is there. Out: the answers of the first that is
//! there; until then a no that says what was looked for. Never asks a server that nobody expects, and looks only when somebody asks.
use super::open::Ground;
use super::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, AtHome, Home, IdAsk, IdToken, TokenError,
    TokenSource, adc,
};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(super) const KIND: &str = "auto";

/// Between two looks, while there is nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// What is found once stays: another source is a reload.
pub(super) struct Source {
    ground: Arc<Ground>,
    found: OnceLock<Arc<dyn TokenSource>>,
    /// Held while somebody looks, so that who comes meanwhile waits for what is found.
    looked: Mutex<Option<Instant>>,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// By `GOOGLE_APPLICATION_CREDENTIALS`, or gcloud's file.
    Adc(PathBuf),
    Metadata,
    Nothing {
        well_known: Option<PathBuf>,
    },
}

impl Source {
    pub(super) fn new(ground: &Arc<Ground>) -> Self {
        Self {
            ground: Arc::clone(ground),
            found: OnceLock::new(),
            looked: Mutex::new(None),
        }
    }

    async fn source(&self) -> Result<&dyn TokenSource, TokenError> {
        if let Some(source) = self.found.get() {
            return Ok(source.as_ref());
        }
        let nothing = |well_known| TokenError::NothingFound { well_known };
        let mut looked = self.looked.lock().await;
        if let Some(source) = self.found.get() {
            return Ok(source.as_ref());
        }
        if looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return Err(nothing(self.ground.environment.well_known()));
        }
        *looked = Some(Instant::now());
        let (source, place): (Arc<dyn TokenSource>, _) = match look(&self.ground).await {
            Found::Adc(file) => (self.ground.adc(Some(file.clone())), file.display().to_string()),
            Found::Metadata => {
                let server = self.ground.server.http;
                (self.ground.metadata(server, "metadata"), server.to_string())
            }
            Found::Nothing { well_known } => return Err(nothing(well_known)),
        };
        tracing::info!(source = source.kind(), place, "auto has found a source of tokens");
        Ok(self.found.get_or_init(|| source).as_ref())
    }
}

async fn look(ground: &Ground) -> Found {
    if let Some(file) = &ground.environment.credentials {
        return Found::Adc(file.clone());
    }
    if ground.server.expected {
        return Found::Metadata;
    }
    match ground.environment.well_known() {
        Some(file) if tokio::fs::metadata(&file).await.is_ok() => Found::Adc(file),
        well_known => Found::Nothing { well_known },
    }
}

impl TokenSource for Source {
    fn kind(&self) -> &'static str {
        self.found.get().map_or(KIND, |source| source.kind())
    }

    fn patience(&self) -> Duration {
        // What is not found yet may be the one with the longest.
        self.found
            .get()
            .map_or(adc::LONGEST_PATIENCE, |source| source.patience())
    }

    fn place(&self) -> Option<String> {
        self.found.get().and_then(|source| source.place())
    }

    fn version(&self) -> u64 {
        self.found.get().map_or(0, |source| source.version())
    }

    fn home(&self) -> AtHome<'_> {
        Box::pin(async {
            match self.source().await {
                Ok(source) => source.home().await,
                // Without a source there is nothing that could say more than the platform does.
                Err(_) => Home::default(),
            }
        })
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async move { self.source().await?.access(ask).await })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async move { self.source().await?.id(ask).await })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async move { self.source().await?.account(account).await })
    }
}

#[cfg(test)]
mod tests;
