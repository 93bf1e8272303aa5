//! Visitors: what they may have, what is put on record of it, and what it costs.
mod decisions;
mod kit;
mod record;

use super::*;
use crate::caller::evidence::Life;
use crate::config::{AccessTokens, AudiencePattern, CallerConditions, IdTokens, May, Who};
use crate::health::status::CallerLine;
use crate::telemetry;
use futures_util::FutureExt as _;
pub(super) use kit::*;
use mtls_identity::UnixTime;
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

#[tokio::test]
async fn a_real_caller_of_our_own_user_has_everything() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let own = nix::unistd::geteuid().as_raw();
    let (visitor, holder) = Access::default().meet(&Stream::Unix(ours), "metadata");
    let trusted = true;
    assert_eq!(holder, Some(Holder { uid: own, trusted }));
    assert_eq!(*visitor.grant().unwrap(), Grant::everything());
}

#[test]
fn nobody_is_let_in_by_default() {
    let access = Access::default();
    let own = nix::unistd::geteuid().as_raw();
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(own + 1))), "metadata");
    assert_eq!(*visitor.grant().unwrap(), Grant::default());
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(own))), "metadata");
    assert_eq!(*visitor.grant().unwrap(), Grant::everything());
}

/// By hand: `cargo test -p mwid -- --ignored --nocapture hot_path`.
#[test]
#[ignore = "prints a measurement and judges nothing: .ci/run shows it"]
fn the_hot_path_in_nanoseconds() {
    let rules = rules::compile(&[rule(uid(1000), scopes(&["a"]))], true, 998).unwrap();
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let access = Access::new(rules, Metrics::default(), clock);
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(1000))), "metadata");
    let what = What::AccessToken {
        scopes: "https://www.googleapis.com/auth/cloud-platform",
    };
    let measure = |name: &str, one: &dyn Fn()| {
        let best = (0..10)
            .map(|_| {
                let begin = std::time::Instant::now();
                (0..20_000).for_each(|_| one());
                begin.elapsed().as_nanos() / 20_000
            })
            .min();
        println!("{name}: {} ns", best.unwrap());
    };
    measure("grant()", &|| drop(visitor.grant()));
    measure("granted()", &|| visitor.granted(what));
    let clock = rustls::time_provider::DefaultTimeProvider;
    measure("a read of the clock", &|| {
        assert!(rustls::time_provider::TimeProvider::current_time(&clock).is_some());
    });
}
