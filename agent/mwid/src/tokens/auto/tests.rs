//! Which source `auto` means.
use super::*;
use crate::metadata::Server;
use crate::tokens::{Environment, Failure};
use std::path::Path;

fn ground(environment: Environment, expected: bool) -> Arc<Ground> {
    let nobody = "127.0.0.1:9".parse().unwrap();
    Arc::new(Ground {
        clock: Arc::new(rustls::time_provider::DefaultTimeProvider),
        provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        server: Server {
            http: nobody,
            grpc: nobody,
            expected,
        },
        environment,
    })
}

fn at_home(home: &Path) -> Environment {
    Environment {
        home: Some(home.to_owned()),
        ..Environment::default()
    }
}

#[tokio::test]
async fn a_named_file_wins_then_the_platform_then_what_gcloud_left() {
    let home = tempfile::tempdir().unwrap();
    let file = at_home(home.path()).well_known().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{}").unwrap();
    let named = PathBuf::from("/nowhere/key.json");
    let with_name = Environment {
        credentials: Some(named.clone()),
        ..at_home(home.path())
    };
    assert_eq!(
        look(&ground(with_name.clone(), true)).await,
        Found::Adc(named.clone())
    );
    assert_eq!(look(&ground(with_name, false)).await, Found::Adc(named));
    assert_eq!(look(&ground(at_home(home.path()), true)).await, Found::Metadata);
    assert_eq!(look(&ground(at_home(home.path()), false)).await, Found::Adc(file));
    let nothing = Found::Nothing { well_known: None };
    assert_eq!(look(&ground(Environment::default(), false)).await, nothing);
}

#[tokio::test(start_paused = true)]
async fn while_there_is_nothing_it_looks_again_but_not_at_each_question() {
    let home = tempfile::tempdir().unwrap();
    let source = Source::new(&ground(at_home(home.path()), false));
    let ask = AccessAsk::of_default();
    let error = source.access(&ask).await.unwrap_err();
    assert!(matches!(error, TokenError::NothingFound { .. }), "{error:?}");
    assert_eq!(error.failure(), Failure::NoAccount);
    assert!(error.to_string().contains("gcloud auth"), "{error}");
    assert_eq!((source.kind(), source.place()), ("auto", None));

    let file = at_home(home.path()).well_known().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "no credentials").unwrap();
    let error = source.access(&ask).await.unwrap_err();
    assert!(
        matches!(error, TokenError::NothingFound { .. }),
        "not looked at so soon: {error:?}"
    );
    tokio::time::sleep(LOOK_AGAIN).await;
    let error = source.access(&ask).await.unwrap_err();
    assert!(
        matches!(error, TokenError::Adc(_)),
        "found, and its own error told: {error:?}"
    );
    assert_eq!(source.kind(), "adc");
}

#[tokio::test]
async fn who_asks_while_somebody_looks_waits_for_what_is_found() {
    let home = tempfile::tempdir().unwrap();
    let file = at_home(home.path()).well_known().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "no credentials").unwrap();
    let source = Source::new(&ground(at_home(home.path()), false));
    let ask = AccessAsk::of_default();
    let (first, second) = tokio::join!(source.access(&ask), source.access(&ask));
    for outcome in [first, second] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, TokenError::Adc(_)), "{error:?}");
    }
}
