//! What the tests of the sources have in common: a clock that stands, and questions.
use super::Reach;
use crate::http::web::{Client, Proxies, Roots};
use crate::tokens::{AccessAsk, Account, IdAsk, IdFormat, Scopes};
use mtls_identity::{Clock, UnixTime};
use rustls::time_provider::TimeProvider;
use std::sync::Arc;
use std::time::Duration;

/// When it is.
pub(crate) const AT: u64 = 1_800_000_000;

#[derive(Debug)]
struct Standing;

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(AT)))
    }
}

pub(crate) fn reach() -> Reach {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clock: Clock = Arc::new(Standing);
    let web = Client::new(
        provider,
        Arc::clone(&clock),
        &Proxies::default(),
        Roots::These(vec![]),
    );
    Reach { web, clock }
}

pub(crate) fn exactly(scopes: &[&str]) -> Scopes {
    Scopes::Exactly(scopes.iter().map(|scope| (*scope).to_owned()).collect())
}

pub(crate) fn access(scopes: Scopes) -> AccessAsk {
    AccessAsk {
        account: Account::Default,
        scopes,
        binding: None,
    }
}

pub(crate) fn id(audience: &str, format: IdFormat) -> IdAsk {
    IdAsk {
        account: Account::Default,
        audience: audience.to_owned(),
        format,
        binding: None,
    }
}
