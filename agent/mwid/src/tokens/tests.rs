//! The room as a whole: replacing the source, health, status.
use super::testing::{House, Mode, Scripted};
use super::*;
use crate::health::Condition;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn without_a_source_everything_is_refused_with_what_to_set_up() {
    let tokens = Tokens::default();
    let ask = AccessAsk::of_default();
    assert!(tokens.access_now(&ask).is_none());
    let error = tokens.access(&ask).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NoAccount);
    assert!(error.to_string().contains("tokens.source"), "{error}");
    assert_eq!(tokens.status().source, "none");
}
