//! `mwid fetch bundles`. In: the X.509 bundles, and the JWT bundles where the agent has them. Out: whom to trust, by trust domain, in words, as a
//! SPIFFE bundle map, or as files.
use super::{agent, write};
use crate::cli::words::Paint;
use crate::cli::{Exit, Failure, args, output};
use crate::grpc::Code;
use crate::grpc::client::CallError;
use crate::workload_client::{Client, ClientError};
use mtls_identity::{TrustBundles, TrustDomain};
use serde_json::{Map, Value};
use write::File;

/// The end of the name of a trust domain's file.
const PEM: &str = ".spiffe-trust-bundle.x509.pem";

/// Of all trust domains.
pub(super) struct Bundles {
    pub(super) x509: TrustBundles,
    pub(super) jwt: TrustBundles,
}

pub(super) fn run(args: &args::FetchBundlesArgs) -> Result<(), Failure> {
    let bundles = agent::ask(&args.workload, fetch)?;
    let map = map(&bundles)?;
    if let Some(directory) = &args.write {
        let mut files = vec![File::open("trust_bundles.json".to_owned(), map.clone())];
        for bundle in bundles.x509.iter() {
            let name = format!("{}{PEM}", bundle.trust_domain());
            files.push(File::open(name, bundle.to_pem()));
        }
        write::all(directory, &files, is_ours)?;
    }
    match args.json {
        true => output::data(&map),
        false => output::data(&text(&bundles, Paint(output::colour()))),
    }
}

/// Whether a file is some trust domain's: there are fewer when one is taken back.
fn is_ours(name: &str) -> bool {
    name.strip_suffix(PEM)
        .is_some_and(|domain| TrustDomain::parse(domain).is_ok_and(|parsed| parsed.as_str() == domain))
}

async fn fetch(client: Client) -> Result<Bundles, ClientError> {
    let x509 = client.x509_bundles().await?;
    let jwt = match client.jwt_bundles().await {
        // An agent without JWT-SVIDs.
        Err(ClientError::Call {
            source: CallError::Refused(status),
            ..
        }) if status.code == Code::UNIMPLEMENTED => TrustBundles::default(),
        other => other?,
    };
    Ok(Bundles { x509, jwt })
}

/// One document of both kinds of keys.
fn map(bundles: &Bundles) -> Result<String, Failure> {
    let read = |bundles: &TrustBundles| -> Result<Map<String, Value>, Failure> {
        let document: Value = serde_json::from_str(&bundles.to_map_json())
            .map_err(|e| Failure::new(Exit::Software, "the bundles cannot be written").because(e))?;
        Ok(match document.get("trust_domains") {
            Some(Value::Object(map)) => map.clone(),
            _ => Map::new(),
        })
    };
    let mut all = read(&bundles.x509)?;
    for (domain, set) in read(&bundles.jwt)? {
        let mine = all
            .entry(domain)
            .or_insert_with(|| serde_json::json!({ "keys": [] }));
        if let (Some(Value::Array(mine)), Some(Value::Array(more))) = (mine.get_mut("keys"), set.get("keys"))
        {
            mine.extend(more.iter().cloned());
        }
    }
    Ok(format!("{:#}\n", serde_json::json!({ "trust_domains": all })))
}

fn text(bundles: &Bundles, paint: Paint) -> String {
    let mut page = String::new();
    let both = [&bundles.x509, &bundles.jwt];
    let mut domains: Vec<_> = both
        .iter()
        .flat_map(|bundles| bundles.iter().map(|bundle| bundle.trust_domain()))
        .collect();
    domains.sort();
    domains.dedup();
    for domain in domains {
        let roots = bundles.x509.get(domain).map_or(0, |bundle| bundle.roots().len());
        let keys = bundles
            .jwt
            .get(domain)
            .map_or(0, |bundle| bundle.jwt_keys().len());
        let line = format!(
            "{}  X.509 roots {roots}, JWT keys {keys}",
            paint.strong(domain.as_str())
        );
        page.push_str(&line);
        page.push('\n');
    }
    page
}
