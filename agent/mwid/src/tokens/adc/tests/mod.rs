//! Each kind of credentials against endpoints that check what they are sent.
mod file;
mod programs;

use super::*;
use crate::report::Causes;
use crate::tokens::Failure;
use crate::tokens::endpoint::testing::{self, AT, exactly};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use testkit::google::{Federation, Google, Reply, ServiceKey, User};

const CLOUD: &str = CLOUD_PLATFORM;
const STORAGE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const ROBOT: &str = "robot@p.iam.gserviceaccount.com";
const TARGET: &str = "target@p.iam.gserviceaccount.com";
const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x";
const SUBJECT: &str = "header.the-subject-token-of-another-provider.signature";

struct Bench {
    google: Google,
    dir: tempfile::TempDir,
    allow_executables: bool,
}

impl Bench {
    fn new() -> Self {
        let google = Google::start(AT);
        google.add_account(ROBOT, ServiceKey::shared());
        google.add_user(User {
            client_id: "client-1".to_owned(),
            client_secret: "GOCSPX-hidden".to_owned(),
            refresh_token: "1//refresh-hidden".to_owned(),
            email: "ada@example.com".to_owned(),
            scopes: ["openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD]
                .map(str::to_owned)
                .into(),
        });
        google.federate(Federation {
            audience: POOL.to_owned(),
            subject_token_type: "urn:ietf:params:oauth:token-type:jwt".to_owned(),
            subject_token: SUBJECT.to_owned(),
            authorization: None,
            options: None,
        });
        for acting in [ROBOT, "ada@example.com", "federated"] {
            google.allow(acting, TARGET);
        }
        let dir = tempfile::tempdir().unwrap();
        Self {
            google,
            dir,
            allow_executables: true,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn source(&self, file: &Value) -> Source {
        let path = self.write("credentials.json", &file.to_string());
        self.open(Some(Path::new(&path)))
    }

    fn open(&self, path: Option<&Path>) -> Source {
        let environment = Environment {
            allow_executables: self.allow_executables,
            ..Environment::default()
        };
        let reach = testing::reach();
        Source::open(path.map(Path::to_owned), &environment, reach.web, reach.clock)
    }

    fn user(&self) -> Value {
        json!({
            "type": "authorized_user", "client_id": "client-1", "client_secret": "GOCSPX-hidden",
            "refresh_token": "1//refresh-hidden", "token_uri": self.google.url("/token"), "account": "",
            "universe_domain": "googleapis.com",
        })
    }

    fn key(&self) -> Value {
        json!({
            "type": "service_account", "project_id": "p", "client_email": ROBOT, "client_id": "1",
            "private_key": ServiceKey::shared().pem, "private_key_id": ServiceKey::shared().id,
            "token_uri": self.google.url("/token"),
        })
    }

    fn external(&self, source: Value) -> Value {
        let mut file = json!({
            "type": "external_account", "audience": POOL, "token_url": self.google.url("/v1/token"),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        });
        file["credential_source"] = source;
        file
    }

    fn impersonated(&self, source: Value) -> Value {
        let url = self.google.impersonation_url(TARGET);
        let mut file = json!({
            "type": "impersonated_service_account", "delegates": [], "service_account_impersonation_url": url,
        });
        file["source_credentials"] = source;
        file
    }

    /// A program that prints an answer, and counts its runs.
    fn program(&self, answer: &str) -> String {
        let runs = self.path("runs").display().to_string();
        let path = self.write("program", &format!("#!/bin/sh\necho run >> {runs}\n{answer}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.path("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// Whose a token is, with which scopes, and its life.
    async fn access(
        &self,
        source: &Source,
        scopes: Scopes,
    ) -> Result<(String, Vec<String>, u64), TokenError> {
        let token = source.access(&testing::access(scopes)).await?;
        assert_eq!(token.token_type, "Bearer");
        let (email, scopes) = self.google.whose(&token.secret).unwrap();
        Ok((email, scopes, token.expires_at.as_secs() - AT))
    }

    async fn id(&self, source: &Source, audience: &str, format: IdFormat) -> Result<Value, TokenError> {
        let token = source.id(&testing::id(audience, format)).await?;
        let claims = self.google.claims(&token.secret);
        assert_eq!(claims["exp"], token.expires_at.as_secs());
        assert_eq!(claims["aud"], audience);
        Ok(claims)
    }
}

fn refusal<T>(done: Result<T, TokenError>) -> (Failure, String) {
    let error = done.err().unwrap();
    let text = Causes(&error).to_string();
    for secret in [
        "hidden",
        "the-subject-token",
        "MII",
        "PRIVATE KEY",
        "ya29.",
        "eyJ",
    ] {
        assert!(
            !text.contains(secret) && !format!("{error:?}").contains(secret),
            "{text} {error:?}"
        );
    }
    (error.failure(), text)
}

#[tokio::test]
async fn a_users_token_is_as_narrow_as_was_asked() {
    let bench = Bench::new();
    let source = bench.source(&bench.user());
    let (email, scopes, life) = bench.access(&source, exactly(&[CLOUD])).await.unwrap();
    assert_eq!(
        (email.as_str(), scopes, life),
        ("ada@example.com", vec![CLOUD.to_owned()], 3599)
    );
    let (_, all, _) = bench.access(&source, Scopes::Default).await.unwrap();
    assert_eq!(all.len(), 3);
    bench
        .access(&source, exactly(&["openid", "email"]))
        .await
        .unwrap_err();
    let (failure, text) = refusal(bench.access(&source, exactly(&[STORAGE])).await);
    assert!(
        failure == Failure::BadRequest && text.contains("invalid_scope"),
        "{text}"
    );
    let info = source.account(&Account::Default).await.unwrap();
    assert_eq!((info.email.as_str(), info.scopes.len()), ("ada@example.com", 3));
    let other = Account::Named("eve@example.com".to_owned());
    let (failure, text) = refusal(source.account(&other).await);
    assert!(
        failure == Failure::NoAccount && text.contains("ada@example.com"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_with_other_scopes_is_not_handed_on() {
    let bench = Bench::new();
    let source = bench.source(&bench.user());
    for scope in [format!("{CLOUD} {STORAGE}"), STORAGE.to_owned(), String::new()] {
        let wide =
            json!({"access_token": "ya29.wide", "expires_in": 3599, "token_type": "Bearer", "scope": scope});
        bench.google.next(Reply::json(200, &wide));
        let (failure, text) = refusal(bench.access(&source, exactly(&[CLOUD])).await);
        assert!(
            failure == Failure::Refused && text.contains("not handed on"),
            "{text}"
        );
    }
    for (field, answer) in [
        (
            "access_token",
            json!({"expires_in": 3599, "token_type": "Bearer"}),
        ),
        (
            "access_token",
            json!({"access_token": "a\nb", "expires_in": 3599, "token_type": "Bearer"}),
        ),
        (
            "expires_in",
            json!({"access_token": "ya29.a", "token_type": "Bearer"}),
        ),
        (
            "token_type",
            json!({"access_token": "ya29.a", "expires_in": 3599, "token_type": "MAC"}),
        ),
        (
            "JSON",
            json!({"access_token": "ya29.a", "expires_in": "hidden", "token_type": "Bearer"}),
        ),
        ("JSON", json!(["ya29.a"])),
    ] {
        bench.google.next(Reply::json(200, &answer));
        let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
        assert!(
            failure == Failure::LATER && text.contains(field),
            "{field}: {text}"
        );
    }
}

#[tokio::test]
async fn a_user_has_id_tokens_for_the_client_alone() {
    let bench = Bench::new();
    let source = bench.source(&bench.user());
    let claims = bench.id(&source, "client-1", IdFormat::Standard).await.unwrap();
    assert_eq!(claims["email"], "ada@example.com");
    let (failure, text) = refusal(bench.id(&source, "https://a.run.app", IdFormat::Standard).await);
    assert!(
        failure == Failure::Refused && text.contains("--impersonate-service-account"),
        "{text}"
    );
    let none = json!({"access_token": "ya29.a", "expires_in": 3599, "token_type": "Bearer"});
    bench.google.next(Reply::json(200, &none));
    let (failure, text) = refusal(bench.id(&source, "client-1", IdFormat::Standard).await);
    assert!(
        failure == Failure::Refused && text.contains("none at all"),
        "{text}"
    );
}

#[tokio::test]
async fn a_revoked_user_and_a_busy_endpoint_are_told_apart() {
    let bench = Bench::new();
    let mut file = bench.user();
    file["refresh_token"] = "1//revoked-hidden".into();
    let source = bench.source(&file);
    let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert_eq!(failure, Failure::LATER);
    assert!(
        text.contains("expired or revoked") && text.contains("gcloud auth application-default login"),
        "{text}"
    );
    // Words that hold what was sent are not shown.
    let echo = json!({"error": "invalid_grant", "error_description": "bad 1//revoked-hidden"});
    bench.google.next(Reply::json(400, &echo));
    refusal(bench.access(&source, Scopes::Default).await);
    bench
        .google
        .next(Reply::text(429, "ya29.hidden").with("Retry-After", "17"));
    let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
    let retry_after = Duration::from_secs(17);
    assert_eq!(failure, Failure::Unavailable { retry_after }, "{text}");
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_and_a_lasting_one_told() {
    let bench = Bench::new();
    let source = bench.source(&bench.key());
    bench.google.next(Reply::text(503, ""));
    bench.google.next(Reply::text(500, ""));
    bench.access(&source, Scopes::Default).await.unwrap();
    assert_eq!(bench.google.asked().len(), 3);
    for _ in 0..3 {
        bench.google.next(Reply::text(503, "").with("Retry-After", "5"));
    }
    let (failure, _) = refusal(bench.access(&source, Scopes::Default).await);
    let retry_after = Duration::from_secs(5);
    assert_eq!(failure, Failure::Unavailable { retry_after });
    assert_eq!(bench.google.asked().len(), 6);
    bench
        .google
        .next(Reply::text(302, "").with("Location", "http://127.0.0.1:1/"));
    let (_, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(text.contains("status 302"), "{text}");
}

#[tokio::test]
async fn a_key_signs_for_exactly_the_asked_scopes_and_audience() {
    let bench = Bench::new();
    let source = bench.source(&bench.key());
    for (asked, given) in [(exactly(&[STORAGE]), STORAGE), (Scopes::Default, CLOUD)] {
        let (email, scopes, life) = bench.access(&source, asked).await.unwrap();
        assert_eq!(
            (email.as_str(), scopes, life),
            (ROBOT, vec![given.to_owned()], 3599)
        );
    }
    let claims = bench
        .id(&source, "https://a.run.app", IdFormat::Standard)
        .await
        .unwrap();
    assert_eq!(claims["email"], ROBOT);
    let info = source.account(&Account::Named(ROBOT.to_owned())).await.unwrap();
    assert_eq!(info.email, ROBOT);
    let bound = AccessAsk {
        binding: Some(Binding {
            query: vec![],
            body: None,
        }),
        ..testing::access(Scopes::Default)
    };
    assert_eq!(refusal(source.access(&bound).await).0, Failure::Refused);
    // An ID token for somebody else is none.
    let other = json!({"id_token": "e30.eyJhdWQiOiJ4IiwiZXhwIjo5fQ.c2ln"});
    bench.google.next(Reply::json(200, &other));
    let (failure, text) = refusal(bench.id(&source, "https://a.run.app", IdFormat::Standard).await);
    assert!(failure == Failure::Refused && text.contains("\"x\""), "{text}");
}

#[tokio::test]
async fn a_key_that_is_not_the_accounts_signs_nothing() {
    let bench = Bench::new();
    let mut file = bench.key();
    file["private_key"] = ServiceKey::generate("other").pem.into();
    let (_, text) = refusal(bench.access(&bench.source(&file), Scopes::Default).await);
    assert!(text.contains("Invalid JWT Signature"), "{text}");
}

#[tokio::test]
async fn an_impersonated_account_is_who_the_token_is_of() {
    let bench = Bench::new();
    for acting in [bench.user(), bench.key()] {
        let source = bench.source(&bench.impersonated(acting));
        for (asked, given) in [(exactly(&[STORAGE]), STORAGE), (Scopes::Default, CLOUD)] {
            let (email, scopes, life) = bench.access(&source, asked).await.unwrap();
            assert_eq!(
                (email.as_str(), scopes, life),
                (TARGET, vec![given.to_owned()], 3600)
            );
        }
        let full = IdFormat::Full { licenses: false };
        let claims = bench.id(&source, "https://a.run.app", full).await.unwrap();
        assert_eq!(claims["email"], TARGET);
        assert_eq!(source.account(&Account::Default).await.unwrap().email, TARGET);
    }
    // Three questions each, and one for the acting account's token.
    assert_eq!(bench.google.asked().len(), 8);
    let mut file = bench.impersonated(bench.user());
    file["delegates"] = json!(["between@p.iam.gserviceaccount.com"]);
    let source = bench.source(&file);
    let (failure, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(
        failure == Failure::Refused && text.contains("roles/iam.serviceAccountTokenCreator"),
        "{text}"
    );
    bench
        .google
        .allow("ada@example.com", "between@p.iam.gserviceaccount.com");
    bench.google.allow("between@p.iam.gserviceaccount.com", TARGET);
    bench.access(&source, Scopes::Default).await.unwrap();
}

#[tokio::test]
async fn a_subject_token_is_exchanged_from_wherever_it_lies() {
    let bench = Bench::new();
    let plain = bench.write("plain", &format!("{SUBJECT}\n"));
    let inside = bench.write("inside", &json!({"access": {}, "t": SUBJECT}).to_string());
    let format = json!({"type": "json", "subject_token_field_name": "t"});
    let page = Reply::json(200, &json!({ "t": SUBJECT }));
    bench.google.page("/subject?a=b", page);
    let program = bench.program(&format!(
        "printf '{{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:id_token\",\"id_token\":\"{SUBJECT}\"}}'"
    ));
    let headers = json!({"Metadata": "True"});
    for source in [
        json!({ "file": plain }),
        json!({"file": inside, "format": format}),
        json!({"url": bench.google.url("/subject?a=b"), "headers": headers, "format": format}),
        json!({"executable": {"command": program}}),
    ] {
        let source = bench.source(&bench.external(source));
        let (email, scopes, life) = bench.access(&source, exactly(&[STORAGE])).await.unwrap();
        assert_eq!(
            (email.as_str(), scopes, life),
            ("federated", vec![STORAGE.to_owned()], 3599)
        );
        let (failure, text) = refusal(bench.id(&source, "https://a", IdFormat::Standard).await);
        assert!(
            failure == Failure::Refused && text.contains("service_account_impersonation_url"),
            "{text}"
        );
        assert_eq!(source.account(&Account::Default).await.unwrap().email, POOL);
    }
    let asked = bench.google.asked();
    let page = asked.iter().find(|asked| asked.method == "GET").unwrap();
    assert_eq!(page.header("metadata"), "True");
}

#[tokio::test]
async fn federated_credentials_act_as_a_service_account() {
    let bench = Bench::new();
    let mut file = bench.external(json!({ "file": bench.write("s", SUBJECT) }));
    file["service_account_impersonation_url"] = bench.google.impersonation_url(TARGET).into();
    file["service_account_impersonation"] = json!({"token_lifetime_seconds": 1200});
    let source = bench.source(&file);
    let (email, scopes, life) = bench.access(&source, exactly(&[STORAGE])).await.unwrap();
    assert_eq!(
        (email.as_str(), scopes, life),
        (TARGET, vec![STORAGE.to_owned()], 1200)
    );
    let claims = bench
        .id(&source, "https://a.run.app", IdFormat::Standard)
        .await
        .unwrap();
    assert!(claims["email"].is_null());
    // By one account to another.
    let far = "far@p.iam.gserviceaccount.com";
    bench.google.allow(TARGET, far);
    let mut two = bench.impersonated(file);
    two["service_account_impersonation_url"] = bench.google.impersonation_url(far).into();
    let (email, ..) = bench.access(&bench.source(&two), Scopes::Default).await.unwrap();
    assert_eq!(email, far);
}

#[tokio::test]
async fn a_pool_of_people_names_its_project_and_a_client_proves_itself() {
    let bench = Bench::new();
    let people = "//iam.googleapis.com/locations/global/workforcePools/w/providers/x";
    let federation = |audience: &str, authorization: Option<&str>, options| Federation {
        audience: audience.to_owned(),
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt".to_owned(),
        subject_token: SUBJECT.to_owned(),
        authorization: authorization.map(str::to_owned),
        options,
    };
    bench
        .google
        .federate(federation(people, None, Some(json!({"userProject": "12345"}))));
    let mut file = bench.external(json!({ "file": bench.write("s", SUBJECT) }));
    file["audience"] = people.into();
    file["workforce_pool_user_project"] = "12345".into();
    bench.access(&bench.source(&file), Scopes::Default).await.unwrap();
    let with_client = format!("{people}2");
    bench
        .google
        .federate(federation(&with_client, Some("Basic aWQ6c2VjcmV0"), None));
    file["audience"] = with_client.into();
    file["client_id"] = "id".into();
    file["client_secret"] = "secret".into();
    bench.access(&bench.source(&file), Scopes::Default).await.unwrap();
}

#[tokio::test]
async fn a_subject_token_that_is_not_there_is_told_without_it() {
    let bench = Bench::new();
    let json_format = json!({"type": "json", "subject_token_field_name": "t"});
    let huge = bench.write("huge", &"x".repeat(70_000));
    let text = bench.write("text", SUBJECT);
    let other = bench.write("other", &json!({ "u": SUBJECT }).to_string());
    let empty = bench.write("empty", " \n");
    for (source, told) in [
        (json!({"file": "/nonexistent/t"}), "/nonexistent/t"),
        (json!({ "file": huge }), "larger than 65536"),
        (json!({"file": text, "format": json_format}), "holds no JSON"),
        (json!({"file": other, "format": json_format}), "has no text \"t\""),
        (json!({ "file": empty }), "holds no token"),
        (
            json!({"url": bench.google.url("/gone?key=hidden")}),
            "/gone gave no subject token (status 404)",
        ),
    ] {
        let (failure, text) = refusal(
            bench
                .access(&bench.source(&bench.external(source)), Scopes::Default)
                .await,
        );
        assert!(failure == Failure::LATER && text.contains(told), "{told}: {text}");
    }
    let wrong = bench.write("wrong", "another-the-subject-token");
    let source = bench.source(&bench.external(json!({ "file": wrong })));
    let (_, text) = refusal(bench.access(&source, Scopes::Default).await);
    assert!(
        text.contains("invalid_grant") && text.contains("not of a trusted issuer"),
        "{text}"
    );
}
