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
    let file = json!({"type": "external_account", "audience": audience, "subject_token_type": "t"});
    with(file, "credential_source", source)
}

fn with(mut file: Value, field: &str, value: Value) -> Value {
    file[field] = value;
    file
}

fn read(file: &Value) -> Result<Credentials, FormatError> {
    parse(file.to_string().as_bytes()).map(|read| read.credentials)
}

fn own(file: &Value) -> Own {
    match read(file).unwrap() {
        Credentials::Own(own) => own,
        Credentials::Impersonated(_) => panic!("impersonated"),
    }
}

#[test]
fn endpoints_are_googles_where_none_is_named_and_guessed_for_no_other_universe() {
    for universe in [Value::Null, "".into(), "googleapis.com".into()] {
        let Own::User(file) = own(&with(user(), "universe_domain", universe.clone())) else {
            panic!("no user");
        };
        assert_eq!(file.token_uri.to_text(), "https://oauth2.googleapis.com/token");
        let Own::ServiceAccount(file) = own(&with(key(), "universe_domain", universe.clone())) else {
            panic!("no key");
        };
        assert_eq!(file.token_uri.to_text(), "https://oauth2.googleapis.com/token");
        let file = with(external(json!({"file": "/t"})), "universe_domain", universe);
        let Own::External(file) = own(&file) else {
            panic!("not external");
        };
        assert_eq!(file.token_url.to_text(), "https://sts.googleapis.com/v1/token");
    }
    let other = |file| with(file, "universe_domain", "apis.example".into());
    refused(
        &other(user()),
        "token_uri is not there, wanted is the URL, because universe_domain is not",
    );
    refused(&other(external(json!({"file": "/t"}))), "token_url is not there");
    // What a key's file names is not the way there either.
    for file in [
        key(),
        with(key(), "token_uri", "https://oauth2.apis.example/token".into()),
    ] {
        refused(
            &other(file),
            "universe_domain is another text, wanted is googleapis.com: mwid makes no tokens with the key",
        );
    }
    let named = other(with(user(), "token_uri", "https://oauth2.apis.example/t".into()));
    let Own::User(file) = own(&named) else {
        panic!("no user")
    };
    assert_eq!(file.token_uri.to_text(), "https://oauth2.apis.example/t");
}

#[test]
fn credentials_say_where_they_belong() {
    let home = |file: &Value| {
        let read = parse(file.to_string().as_bytes()).ok().unwrap();
        (read.universe, read.project)
    };
    let project = |name: &str| Some(name.to_owned());
    assert_eq!(home(&user()), ("googleapis.com".to_owned(), None));
    let file = with(user(), "quota_project_id", "pays".into());
    assert_eq!(home(&file).1, project("pays"));
    let file = with(
        with(key(), "project_id", "p-1".into()),
        "quota_project_id",
        "pays".into(),
    );
    assert_eq!(home(&file).1, project("p-1"));
    let elsewhere = with(
        with(
            external(json!({"file": "/t"})),
            "token_url",
            "https://sts.apis.example/v1/token".into(),
        ),
        "universe_domain",
        "apis.example".into(),
    );
    assert_eq!(home(&elsewhere).0, "apis.example");
    let acting = json!({
        "type": "impersonated_service_account", "source_credentials": elsewhere,
        "service_account_impersonation_url":
            "https://iamcredentials.apis.example/v1/projects/-/serviceAccounts/a@b:generateAccessToken",
    });
    assert_eq!(home(&acting).0, "apis.example");
    refused(
        &with(key(), "project_id", "a\nhidden".into()),
        "project_id is another text",
    );
}

/// The file is refused with these words, and with no value of it.
fn refused(file: &Value, told: &str) {
    let error = read(file).err().unwrap_or_else(|| panic!("{file} is read"));
    let text = crate::report::Causes(&error).to_string();
    assert!(text.contains(told), "{told}: {text}");
    for text in [text, format!("{error:?}")] {
        assert!(!text.to_lowercase().contains("hidden"), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_by_field_and_never_by_value() {
    refused(&json!([]), "the file is a list, wanted is a JSON object");
    refused(&json!({}), "type is not there");
    for (field, value, told) in [
        ("type", json!(5), "type is a number"),
        (
            "type",
            "gdch_service_account".into(),
            "type is \"gdch_service_account\"",
        ),
        ("type", "Hidden Word".into(), "type is another text"),
        (
            "client_secret",
            json!(["hidden"]),
            "client_secret is a list, wanted is a text",
        ),
        ("refresh_token", "".into(), "refresh_token is an empty text"),
        ("refresh_token", Value::Null, "refresh_token is null"),
        (
            "token_uri",
            "http://oauth2.googleapis.com/hidden".into(),
            "token_uri is another text, wanted is a URL with https",
        ),
        (
            "universe_domain",
            "evil.example/hidden".into(),
            "universe_domain is another text",
        ),
    ] {
        refused(&with(user(), field, value), told);
    }
    refused(
        &with(key(), "private_key", "hidden".into()),
        "private_key is another text",
    );
    let error = parse(b"{\"refresh_token\": \"hidden\"\n\"").err().unwrap();
    assert!(matches!(error, FormatError::NotJson { line: 2, .. }), "{error}");
}

#[test]
fn what_is_wrong_with_an_impersonation_is_told_by_its_path() {
    let good = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken";
    let file = |url: &str, source: Value| {
        let file = json!({"type": "impersonated_service_account", "service_account_impersonation_url": url});
        with(file, "source_credentials", source)
    };
    assert!(read(&file(good, user())).is_ok());
    const URL: &str = "service_account_impersonation_url is another text";
    for (file, told) in [
        (
            file(good, "hidden".into()),
            "source_credentials is another text, wanted is an object",
        ),
        (
            file(good, file(good, user())),
            "source_credentials.type is \"impersonated_service_account\"",
        ),
        (
            file(good, with(user(), "client_id", json!({}))),
            "source_credentials.client_id is an object",
        ),
        (file("https://iam.example/hidden", user()), URL),
        (
            file("http://a/serviceAccounts/hidden:generateAccessToken", user()),
            URL,
        ),
        (
            file("https://a/serviceAccounts/:generateAccessToken", user()),
            URL,
        ),
        (
            with(file(good, user()), "delegates", json!(["a", 5])),
            "delegates[1] is a number",
        ),
    ] {
        refused(&file, told);
    }
}

#[test]
fn what_is_wrong_with_a_source_of_subject_tokens_is_told_by_its_path() {
    const NOT_SERVED: &str = "is there, wanted is file, url or executable (this one is not served)";
    for (source, told) in [
        (json!({}), "file is not there".to_owned()),
        (
            json!({"file": "/a", "url": "https://b/"}),
            "url is there too".to_owned(),
        ),
        (json!({"certificate": {}}), format!("certificate {NOT_SERVED}")),
        (
            json!({"environment_id": "aws1"}),
            format!("environment_id {NOT_SERVED}"),
        ),
        (
            json!({"url": "http://example.com/hidden"}),
            "url is another text".to_owned(),
        ),
        (
            json!({"file": "/a", "format": {"type": "xml"}}),
            "format.type is \"xml\"".to_owned(),
        ),
        (
            json!({"file": "/a", "format": {"type": "json"}}),
            "format.subject_token_field_name is not there".to_owned(),
        ),
        (
            json!({"url": "https://b/", "headers": {"a": 5}}),
            "headers.a is a number".to_owned(),
        ),
        (
            json!({"url": "https://b/", "headers": {"a b": "hidden"}}),
            "headers is an object".to_owned(),
        ),
        (
            json!({"executable": {"command": "program hidden"}}),
            "executable.command is another text".to_owned(),
        ),
        (
            json!({"executable": {"command": "/p", "timeout_millis": 4999}}),
            "executable.timeout_millis is a number".to_owned(),
        ),
        (
            json!({"executable": {"command": "/p", "timeout_millis": 120_001}}),
            "executable.timeout_millis is a number".to_owned(),
        ),
        (
            json!({"executable": {"command": "/p", "timeout_millis": "hidden"}}),
            "executable.timeout_millis is another text".to_owned(),
        ),
    ] {
        refused(&external(source), &format!("credential_source.{told}"));
    }
}

#[test]
fn what_is_wrong_beside_a_source_is_told_too() {
    let file = || external(json!({"file": "/a"}));
    refused(
        &with(file(), "workforce_pool_user_project", "1".into()),
        "workforce_pool_user_project is",
    );
    let short = json!({"token_lifetime_seconds": 599});
    refused(
        &with(file(), "service_account_impersonation", short),
        "from 600 to 43200",
    );
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
