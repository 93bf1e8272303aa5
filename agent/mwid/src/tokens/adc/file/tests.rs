//! What files may say, and what is told of those that must not.
use super::*;
use serde_json::{Value, json};
use testkit::google::ServiceKey;

fn user() -> Value {
    json!({"type": "authorized_user", "client_id": "c", "client_secret": "hidden", "refresh_token": "hidden"})
}

fn key() -> Value {
    json!({"type": "service_account", "client_email": "a@b", "private_key": ServiceKey::shared().pem})
}

fn external(source: Value) -> Value {
    let audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x";
    json!({"type": "external_account", "audience": audience, "subject_token_type": "t", "credential_source": source})
}

fn with(mut file: Value, field: &str, value: Value) -> Value {
    file[field] = value;
    file
}

fn read(file: &Value) -> Result<Credentials, FormatError> {
    parse(file.to_string().as_bytes())
}

fn own(file: &Value) -> Own {
    match read(file).unwrap() {
        Credentials::Own(own) => own,
        Credentials::Impersonated(_) => panic!("impersonated"),
    }
}

#[test]
fn endpoints_are_those_of_the_universe_where_none_is_named() {
    for (universe, domain) in [
        (Value::Null, "googleapis.com"),
        ("apis.example".into(), "apis.example"),
    ] {
        let Own::User(file) = own(&with(user(), "universe_domain", universe.clone())) else {
            panic!("no user");
        };
        assert_eq!(file.token_uri.to_text(), format!("https://oauth2.{domain}/token"));
        let Own::ServiceAccount(file) = own(&with(key(), "universe_domain", universe.clone())) else {
            panic!("no key");
        };
        assert_eq!(file.token_uri.to_text(), format!("https://oauth2.{domain}/token"));
        let file = with(external(json!({"file": "/t"})), "universe_domain", universe);
        let Own::External(file) = own(&file) else {
            panic!("not external");
        };
        assert_eq!(file.token_url.to_text(), format!("https://sts.{domain}/v1/token"));
    }
    let named = with(user(), "token_uri", "https://oauth2.example/t".into());
    let Own::User(file) = own(&named) else {
        panic!("no user")
    };
    assert_eq!(file.token_uri.to_text(), "https://oauth2.example/t");
}

#[test]
fn what_is_wrong_is_told_by_field_and_never_by_value() {
    let executable = |members: Value| external(json!({ "executable": members }));
    let impersonated = |url: &str, source: Value| json!({"type": "impersonated_service_account", "service_account_impersonation_url": url, "source_credentials": source});
    let url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken";
    for (file, told) in [
        (json!([]), "the file is a list, wanted is a JSON object"),
        (json!({}), "type is not there"),
        (json!({"type": 5}), "type is a number"),
        (
            with(user(), "type", "gdch_service_account".into()),
            "type is \"gdch_service_account\"",
        ),
        (with(user(), "type", "Hidden Word".into()), "type is another text"),
        (
            with(user(), "client_secret", json!(["hidden"])),
            "client_secret is a list, wanted is a text",
        ),
        (
            with(user(), "refresh_token", "".into()),
            "refresh_token is an empty text",
        ),
        (
            with(user(), "refresh_token", Value::Null),
            "refresh_token is null",
        ),
        (
            with(user(), "token_uri", "http://oauth2.googleapis.com/hidden".into()),
            "token_uri is another text, wanted is a URL with https",
        ),
        (
            with(user(), "universe_domain", "evil.example/hidden".into()),
            "universe_domain is another text",
        ),
        (
            with(key(), "private_key", "hidden".into()),
            "private_key is another text",
        ),
        (
            impersonated(url, json!("hidden")),
            "source_credentials is a text, wanted is an object",
        ),
        (
            impersonated(url, impersonated(url, user())),
            "source_credentials.type is \"impersonated_service_account\"",
        ),
        (
            impersonated(url, with(user(), "client_id", json!({}))),
            "source_credentials.client_id is an object",
        ),
        (
            impersonated("https://iam.example/hidden", user()),
            "service_account_impersonation_url is another text",
        ),
        (
            impersonated("http://a/serviceAccounts/hidden:generateAccessToken", user()),
            "service_account_impersonation_url is",
        ),
        (
            with(impersonated(url, user()), "delegates", json!(["a", 5])),
            "delegates[1] is a number",
        ),
        (external(json!({})), "credential_source.file is not there"),
        (
            external(json!({"file": "/a", "url": "https://b/"})),
            "credential_source.url is there too",
        ),
        (
            external(json!({"certificate": {}})),
            "credential_source.certificate is there, wanted is file, url or executable (this one is not served)",
        ),
        (
            external(json!({"environment_id": "aws1"})),
            "credential_source.environment_id is there",
        ),
        (
            external(json!({"url": "http://example.com/hidden"})),
            "credential_source.url is another text",
        ),
        (
            external(json!({"file": "/a", "format": {"type": "xml"}})),
            "credential_source.format.type is \"xml\"",
        ),
        (
            external(json!({"file": "/a", "format": {"type": "json"}})),
            "credential_source.format.subject_token_field_name is not there",
        ),
        (
            external(json!({"url": "https://b/", "headers": {"a": 5}})),
            "credential_source.headers.a is a number",
        ),
        (
            external(json!({"url": "https://b/", "headers": {"a b": "hidden"}})),
            "credential_source.headers is an object",
        ),
        (
            executable(json!({"command": "program hidden"})),
            "credential_source.executable.command is another text",
        ),
        (
            executable(json!({"command": "/p", "timeout_millis": 4999})),
            "wanted is from 5000 to 120000",
        ),
        (
            executable(json!({"command": "/p", "timeout_millis": 120_001})),
            "wanted is from 5000 to 120000",
        ),
        (
            executable(json!({"command": "/p", "timeout_millis": "hidden"})),
            "timeout_millis is another text, wanted is a whole number",
        ),
        (
            with(
                external(json!({"file": "/a"})),
                "workforce_pool_user_project",
                "1".into(),
            ),
            "workforce_pool_user_project is",
        ),
        (
            with(
                external(json!({"file": "/a"})),
                "service_account_impersonation",
                json!({"token_lifetime_seconds": 599}),
            ),
            "from 600 to 43200",
        ),
    ] {
        let error = read(&file).err().unwrap_or_else(|| panic!("{file} is read"));
        let text = crate::report::Causes(&error).to_string();
        let told = told.replace(
            "is a text, wanted is an object",
            "is another text, wanted is an object",
        );
        assert!(text.contains(&told), "{told}: {text}");
        for text in [text, format!("{error:?}")] {
            assert!(!text.to_lowercase().contains("hidden"), "{text}");
        }
    }
    let error = parse(b"{\"refresh_token\": \"hidden\"\n\"").err().unwrap();
    assert!(matches!(error, FormatError::NotJson { line: 2, .. }), "{error}");
}

#[test]
fn another_clouds_metadata_server_may_be_the_source() {
    let azure = "http://169.254.169.254/metadata/identity/oauth2/token?resource=x";
    let Own::External(file) = own(&external(json!({"url": azure, "headers": {"Metadata": "True"}}))) else {
        panic!("not external");
    };
    assert!(matches!(&file.subject, Subject::Url { url, .. } if url.to_text() == azure));
    // But never where a token is sent to.
    let file = with(external(json!({ "url": azure })), "token_url", azure.into());
    assert!(read(&file).is_err());
}

#[test]
fn a_service_accounts_key_is_one_of_rsa() {
    let pair = testkit::pki::Ca::root("x").leaf(&testkit::pki::LeafSpec::new("spiffe://x/y"));
    assert!(read(&with(key(), "private_key", pair.key_pem.into())).is_err());
}
