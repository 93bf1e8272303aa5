//! The file itself: where it is, when it is read, what is refused, and what of it holds while it cannot be used.
use super::*;

#[tokio::test]
async fn a_file_is_read_again_when_it_changed_and_only_then() {
    let bench = Bench::new();
    let source = bench.source(&bench.key());
    let first = source.look().await.unwrap();
    assert!(Arc::ptr_eq(&first, &source.look().await.unwrap()));
    bench.write("new", &bench.user().to_string());
    std::fs::rename(bench.path("new"), bench.path("credentials.json")).unwrap();
    let (email, ..) = bench.access(&source, Scopes::Default).await.unwrap();
    assert_eq!(email, "ada@example.com");
    std::fs::remove_file(bench.path("credentials.json")).unwrap();
    let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(
        failure == Failure::LATER && text.contains("gcloud auth application-default login"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_credentials_file_is_refused_by_name() {
    let bench = Bench::new();
    let (_, text) = refusal(bench.access(&bench.open(None), Scopes::Default).await);
    assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{text}");
    let (_, text) = refusal(
        bench
            .access(&bench.open(Some(bench.dir.path())), Scopes::Default)
            .await,
    );
    assert!(text.contains("no regular file"), "{text}");
    let huge = bench.write("huge", &format!("{{\"hidden\": \"{}\"}}", "x".repeat(70_000)));
    let (_, text) = refusal(
        bench
            .access(&bench.open(Some(Path::new(&huge))), Scopes::Default)
            .await,
    );
    assert!(text.contains("larger than 65536"), "{text}");
    let mut file = bench.key();
    file["private_key"] = "-----BEGIN PRIVATE KEY-----\nMIIhidden\n".into();
    let (_, text) = refusal(bench.access(&bench.source(&file), Scopes::Default).await);
    assert!(
        text.contains("private_key is another text, wanted is an RSA key"),
        "{text}"
    );
}

#[test]
fn the_file_is_where_googles_clients_look() {
    let at = |environment: &Environment| {
        let reach = testing::reach();
        Source::open(None, environment, reach.web, reach.clock).place()
    };
    let path = |text: &str| Some(PathBuf::from(text));
    let mut environment = Environment::default();
    assert_eq!(at(&environment), None);
    environment.home = path("/home/a");
    let home = "/home/a/.config/gcloud/application_default_credentials.json";
    assert_eq!(at(&environment).as_deref(), Some(home));
    environment.cloudsdk_config = path("/etc/gcloud");
    let gcloud = "/etc/gcloud/application_default_credentials.json";
    assert_eq!(at(&environment).as_deref(), Some(gcloud));
    environment.credentials = path("/k.json");
    assert_eq!(at(&environment).as_deref(), Some("/k.json"));
}

#[tokio::test]
async fn the_source_tells_where_its_credentials_belong() {
    let bench = Bench::new();
    let home = bench.source(&bench.key()).home().await;
    assert_eq!(home.universe.as_deref(), Some("googleapis.com"));
    assert_eq!(home.project.as_deref(), Some("p"));
    // Without the file there is nothing that could be said.
    assert_eq!(
        bench.open(Some(&bench.path("none.json"))).home().await,
        Home::default()
    );
}

/// As when somebody logs in as somebody else, or gets another key.
#[tokio::test(start_paused = true)]
async fn another_file_is_another_version_within_a_second() {
    let bench = Bench::new();
    let source = Arc::new(bench.source(&bench.key()));
    let tokens = crate::tokens::Tokens::over(source.clone(), testing::reach().clock);
    let told = async || {
        let account = tokens.account(&Account::Default).await.unwrap();
        (account.email.clone(), tokens.home().await.project)
    };
    assert_eq!(told().await, (ROBOT.to_owned(), Some("p".to_owned())));
    assert_eq!(told().await, (ROBOT.to_owned(), Some("p".to_owned())));
    assert_eq!(source.version(), 0, "the first is no change");
    let mut other = bench.key();
    other["client_email"] = "other@p-2.iam.gserviceaccount.com".into();
    other["project_id"] = "p-2".into();
    bench.write("new", &other.to_string());
    std::fs::rename(bench.path("new"), bench.path("credentials.json")).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        told().await,
        (
            "other@p-2.iam.gserviceaccount.com".to_owned(),
            Some("p-2".to_owned())
        )
    );
    assert_eq!(source.version(), 1);
    let now = async || {
        tokio::time::advance(Duration::from_secs(1)).await;
        (source.version(), tokens.home().await.project)
    };
    let before = (1, Some("p-2".to_owned()));
    let file = bench.path("credentials.json");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(now().await, before, "who has its mode changed says the same");
    bench.write("credentials.json", "{ half of it");
    assert_eq!(now().await, before, "what cannot be used takes nothing away");
    bench.write("credentials.json", &other.to_string());
    assert_eq!(now().await, before);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(now().await, before, "what is not there gives nothing else");
    bench.write("credentials.json", &bench.key().to_string());
    assert_eq!(now().await, (2, Some("p".to_owned())));
}
