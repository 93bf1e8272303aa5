//! A source of tokens in a test's hand.
use crate::tokens::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, AtHome, Home, IdAsk, IdToken, TokenError,
    TokenSource,
};
use mtls_identity::{Clock, UnixTime};
use rustls::time_provider::TimeProvider;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const EMAIL: &str = "robot@project.iam.gserviceaccount.com";
pub(super) const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Answers, and keeps what it was asked.
pub(super) struct Scripted {
    state: Mutex<State>,
    now: Arc<Fixed>,
}

struct State {
    accounts: Vec<String>,
    asked: Vec<String>,
    account: Option<AccountInfo>,
    /// Other than that there is no account.
    trouble: Option<TokenError>,
    secret: String,
    home: Home,
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Debug)]
struct Fixed(std::sync::atomic::AtomicU64);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(self.0.load(std::sync::atomic::Ordering::SeqCst)))
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

const START: u64 = 1_800_000_000;

impl Scripted {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                accounts: vec![],
                asked: vec![],
                account: Some(AccountInfo {
                    email: EMAIL.to_owned(),
                    aliases: vec!["default".to_owned()],
                    scopes: [
                        CLOUD.to_owned(),
                        "https://www.googleapis.com/auth/userinfo.email".to_owned(),
                    ]
                    .into(),
                }),
                trouble: None,
                secret: "ya29.secret".to_owned(),
                home: Home::default(),
                meanwhile: None,
            }),
            now: Arc::new(Fixed(START.into())),
        })
    }

    pub(super) fn clock(&self) -> Clock {
        self.now.clone()
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.now.0.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn has_no_account(&self) {
        self.state.lock().unwrap().account = None;
    }

    pub(super) fn has_trouble(&self, trouble: TokenError) {
        self.state.lock().unwrap().trouble = Some(trouble);
    }

    pub(super) fn belongs(&self, universe: &str, project: &str) {
        self.state.lock().unwrap().home = Home {
            universe: Some(universe.to_owned()),
            project: Some(project.to_owned()),
        };
    }

    /// This happens while it is asked the next time.
    pub(super) fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().meanwhile = Some(Box::new(happens));
    }

    pub(super) fn gives(&self, secret: &str) {
        self.state.lock().unwrap().secret = secret.to_owned();
    }

    /// The questions since the last call.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    /// Whose accounts it was asked for since the last call.
    pub(super) fn accounts_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().accounts)
    }

    fn answer(&self, question: String) -> Result<String, TokenError> {
        let mut state = self.state.lock().unwrap();
        state.asked.push(question);
        if let Some(happens) = state.meanwhile.take() {
            happens();
        }
        match (&state.trouble, &state.account) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, None) => Err(TokenError::NoSource),
            (None, Some(_)) => Ok(state.secret.clone()),
        }
    }
}

impl TokenSource for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn place(&self) -> Option<String> {
        None
    }

    fn home(&self) -> AtHome<'_> {
        let home = self.state.lock().unwrap().home.clone();
        Box::pin(async { home })
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async move {
            let secret = self.answer(format!("{ask:?}"))?;
            Ok(AccessToken::new(
                secret.into(),
                "Bearer".to_owned(),
                at(START + 3599),
            ))
        })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async move {
            let secret = self.answer(format!("{ask:?}"))?;
            Ok(IdToken::new(format!("ey.{secret}").into(), at(START + 3600)))
        })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.accounts.push(format!("{account:?}"));
            match (&state.trouble, &state.account, account) {
                (Some(trouble), ..) => Err(trouble.clone()),
                (None, Some(info), Account::Default) => Ok(info.clone()),
                _ => Err(TokenError::NoSource),
            }
        })
    }
}
