//! What the tree tells of the account and the universe, and waiting for their change.
use super::source::{CLOUD, EMAIL};
use super::*;
use serde_json::json;
use tokio::time::Instant;

const ACCOUNTS: &str = "/computeMetadata/v1/instance/service-accounts/";
const EMAIL_SCOPE: &str = "https://www.googleapis.com/auth/userinfo.email";

#[tokio::test]
async fn an_account_reads_as_on_the_metadata_server() {
    let house = House::new().await;
    for name in ["default", EMAIL] {
        for (below, content_type, body) in [
            (
                "/",
                "application/text",
                "aliases\nemail\nidentity\nscopes\ntoken\n".to_owned(),
            ),
            ("/email", "application/text", EMAIL.to_owned()),
            ("/email?alt=json", "application/json", format!("\"{EMAIL}\"")),
            ("/aliases", "application/text", "default\n".to_owned()),
            (
                "/aliases?alt=json",
                "application/json",
                "[\"default\"]".to_owned(),
            ),
            ("/scopes", "application/text", format!("{CLOUD}\n{EMAIL_SCOPE}\n")),
            (
                "/?recursive=true&alt=text",
                "application/text",
                format!("aliases default\nemail {EMAIL}\nscopes {CLOUD}\nscopes {EMAIL_SCOPE}\n"),
            ),
        ] {
            let answered = house.get(&format!("{ACCOUNTS}{name}{below}")).await;
            assert_eq!((answered.status, &answered.body), (200, &body), "{below}");
            assert_eq!(answered.header("content-type"), content_type, "{below}");
            assert_eq!(answered.header("etag").len(), 16, "{below}");
            answered.is_the_servers();
        }
    }
    let listing = house.get(ACCOUNTS).await;
    assert_eq!(listing.body, format!("default/\n{EMAIL}/\n"));
    let one = json!({"aliases": ["default"], "email": EMAIL, "scopes": [CLOUD, EMAIL_SCOPE]});
    let get = async |query: &str| house.get(&format!("{ACCOUNTS}{query}")).await.json();
    assert_eq!(get("default/?recursive=true").await, one);
    assert_eq!(get("?recursive=True").await, json!({"default": one, EMAIL: one}));
    for bad in [
        "default/email?alt=xml",
        "default/?recursive=perhaps",
        "default/email?timeout_sec=x",
    ] {
        assert_eq!(house.get(&format!("{ACCOUNTS}{bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(house.get(&format!("{ACCOUNTS}default/nothing")).await.status, 404);
}

#[tokio::test]
async fn scopes_are_told_as_they_are_granted() {
    let house = House::new().await;
    let told = async || {
        let leaf = house.get(&format!("{ACCOUNT}/scopes")).await.body;
        let info = house.get(&format!("{ACCOUNT}/?recursive=true")).await.json();
        (leaf, info["scopes"].clone())
    };
    house.doorman.grants(scopes(&["b", "a"]));
    assert_eq!(told().await, ("a\nb\n".to_owned(), json!(["a", "b"])));
    // Who may have no token is still told whose it would be.
    house.doorman.grants(Grant::default());
    assert_eq!(told().await, (String::new(), json!([])));
    assert_eq!(house.get(&format!("{ACCOUNT}/email")).await.body, EMAIL);
}

#[tokio::test]
async fn without_an_account_there_is_none() {
    let house = House::new().await;
    house.source.has_no_account();
    assert_eq!(house.get(ACCOUNTS).await.body, "");
    assert_eq!(
        house.get(&format!("{ACCOUNTS}?recursive=true")).await.json(),
        json!({})
    );
    for below in [
        "/",
        "/email",
        "/scopes",
        "/?recursive=true",
        "/token",
        "/identity?audience=x",
    ] {
        let missing = house.get(&format!("{ACCOUNT}{below}")).await;
        assert_eq!(missing.status, 404, "{below}");
        missing.is_the_servers();
    }
}

#[tokio::test]
async fn the_universe_is_googles_where_the_platform_has_none() {
    let house = House::new().await;
    let domain = house.get("/computeMetadata/v1/universe/universe-domain").await;
    assert_eq!((domain.status, &*domain.body), (200, "googleapis.com"));
    assert_eq!(domain.header("content-type"), "text/plain");
    assert_eq!(domain.header("etag").len(), 16);
    domain.is_the_servers();
    assert_eq!(
        house.get("/computeMetadata/v1/universe/").await.body,
        "universe-domain\n"
    );
    assert_eq!(
        house
            .get("/computeMetadata/v1/universe/?recursive=true")
            .await
            .json(),
        json!({"universeDomain": "googleapis.com"})
    );
}

#[tokio::test]
async fn universe_and_project_are_those_of_the_credentials_where_they_say_so() {
    let house = House::new().await;
    house.source.belongs("apis.example", "p-1");
    let domain = house.get("/computeMetadata/v1/universe/universe-domain").await;
    assert_eq!((domain.status, &*domain.body), (200, "apis.example"));
    let tree = house.get("/computeMetadata/v1/?recursive=true").await.json();
    assert_eq!(tree["universe"]["universeDomain"], "apis.example");
    let project = house.get("/computeMetadata/v1/project/project-id").await;
    assert_eq!((project.status, &*project.body), (200, "p-1"));
    assert_eq!(project.header("content-type"), "application/text");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_when_it_differs_or_the_time_is_over() {
    let house = House::new().await;
    let get = async |query: &str| {
        let began = Instant::now();
        let target = format!("{ACCOUNT}/{query}");
        let answered = house.send_tcp(&request("GET", &target, FLAVOR, "")).await;
        (answered, began.elapsed().as_secs())
    };
    let (now, _) = get("scopes").await;
    let etag = now.header("etag");
    let (other, waited) = get("scopes?wait_for_change=true&last_etag=0").await;
    assert_eq!(
        (other.status, &other.body, waited),
        (200, &now.body, 0),
        "another etag than ours"
    );
    let (same, waited) = get(&format!(
        "scopes?wait_for_change=true&last_etag={etag}&timeout_sec=25"
    ))
    .await;
    assert_eq!((same.status, &same.body, waited), (200, &now.body, 25));
    let (_, waited) = get("?recursive=true&wait_for_change=true&timeout_sec=5").await;
    assert_eq!(waited, 5);
    let (_, waited) = get("email?wait_for_change=true&timeout_sec=0").await;
    assert_eq!(waited, 0);
    let (refused, _) = get("?wait_for_change=true").await;
    assert_eq!(refused.status, 400, "a listing has nothing to wait for");
    // Other rules are another value of the scopes.
    let changing = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        house.doorman.grants(scopes(&["a"]));
    };
    let target = format!("scopes?wait_for_change=true&last_etag={etag}");
    let ((changed, waited), ()) = tokio::join!(get(&target), changing);
    assert_eq!((changed.status, &*changed.body), (200, "a\n"));
    assert!((12..=22).contains(&waited), "{waited}");
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test(start_paused = true)]
async fn who_waits_does_not_delay_the_end() {
    let house = House::new().await;
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    let target = format!("{ACCOUNT}/email?wait_for_change=true");
    let asking = request("GET", &target, FLAVOR, "");
    let ending = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        house.shutdown.ask();
        Instant::now()
    };
    let (answered, asked_at) = tokio::join!(exchange(&mut stream, &asking), ending);
    assert_eq!((answered.status, &*answered.body), (200, EMAIL));
    assert!(
        asked_at.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked_at.elapsed()
    );
    assert!(house.shutdown.stop(Duration::from_secs(1)).await);
}
