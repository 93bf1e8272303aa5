//! What a Rust program gets through google-cloud-auth (by the environment alone) or gcp_auth (by the link-local address alone). Prints
//! `what<TAB>value` lines. Usage: google-clients google-cloud-auth|gcp_auth SCOPE AUDIENCE
use google_cloud_auth::credentials::{Builder, idtoken, mds};
use std::error::Error;

type Done = Result<(), Box<dyn Error>>;

fn say(what: &str, value: &str) {
    println!("{what}\t{value}");
}

async fn google_cloud_auth(scope: &str, audience: &str) -> Done {
    let found = Builder::default().build_access_token_credentials()?;
    say("access", &found.access_token().await?.token);
    let scoped = mds::Builder::default().with_scopes([scope]).build_access_token_credentials()?;
    say("scoped", &scoped.access_token().await?.token);
    let id = idtoken::mds::Builder::new(audience)
        .with_format(idtoken::mds::Format::Full)
        .build()?;
    say("id", &id.id_token().await?);
    let universe = Builder::default().build()?.universe_domain().await;
    say("universe", &universe.ok_or("no universe domain")?);
    // The signer asks for the account's e-mail.
    let signer = mds::Builder::default().build_signer()?;
    say("email", &signer.client_email().await?);
    Ok(())
}

async fn gcp_auth(scope: &str) -> Done {
    let provider = gcp_auth::provider().await?;
    say("project", &provider.project_id().await?);
    say("access", provider.token(&[scope]).await?.as_str());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let args: Vec<String> = std::env::args().collect();
    let [_, which, scope, audience] = &args[..] else {
        return Err("usage: google-clients google-cloud-auth|gcp_auth SCOPE AUDIENCE".into());
    };
    match which.as_str() {
        "google-cloud-auth" => google_cloud_auth(scope, audience).await,
        "gcp_auth" => gcp_auth(scope).await,
        other => Err(format!("{other} is no client").into()),
    }
}
