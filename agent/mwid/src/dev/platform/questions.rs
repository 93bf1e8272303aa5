//! Questions for tokens. In: a request's parameters and its body. Out: what the token will say, or the server's words why there is none.
use super::query::Query;
use super::reply::Refusal;
use super::tree::Node;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use pki_types::CertificateDer;
use pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The claims of an access token beyond those that all have.
pub(super) fn access(
    query: &Query,
    body: Option<&[u8]>,
    tree: &Node,
    account: &Node,
) -> Result<Map<String, Value>, Refusal> {
    let all = lines(account, "scopes");
    let asked: BTreeSet<&str> = query
        .get("scopes")
        .unwrap_or_default()
        .split([',', ' '])
        .filter(|scope| !scope.is_empty())
        .collect();
    let enforced = match query.get("enforce_scopes") {
        None => !asked.is_empty() && is_enforced_here(tree),
        Some(word) if is_one_of(word, &["true", "1", "yes", "y"]) => true,
        Some(word) if is_one_of(word, &["false", "0", "no", "n"]) => {
            return Err(Refusal::BadRequest("enforce_scopes cannot be set to false"));
        }
        Some(_) => return Err(Refusal::BadRequest("enforce_scopes must be true if it is set")),
    };
    let scopes = match (enforced, asked.is_empty()) {
        (false, _) => all,
        (true, true) => {
            return Err(Refusal::BadRequest(
                "non-empty scopes parameter required with enforce_scopes",
            ));
        }
        (true, false) if asked.is_subset(&all) => asked,
        (true, false) => {
            return Err(Refusal::BadRequest(
                "scopes must be a subset of the scopes of the instance",
            ));
        }
    };
    let mut claims = binding(query, body)?;
    claims.insert("scope".to_owned(), Vec::from_iter(scopes).join(" ").into());
    Ok(claims)
}

/// The audience of an ID token, and its claims beyond those that all have.
pub(super) fn id<'a>(
    query: &'a Query,
    body: Option<&[u8]>,
    tree: &Node,
) -> Result<(&'a str, Map<String, Value>), Refusal> {
    let audience = query.get("audience").filter(|audience| !audience.is_empty());
    let audience = audience.ok_or(Refusal::BadRequest("non-empty audience parameter required"))?;
    let mut claims = binding(query, body)?;
    let licenses = match query.get("licenses") {
        None => false,
        Some(word) if is_one_of(word, &["true"]) => true,
        Some(word) if is_one_of(word, &["false"]) => false,
        Some(_) => return Err(Refusal::BadRequest("licenses must be TRUE or FALSE")),
    };
    match query.get("format") {
        None | Some("standard") => {}
        Some("full") => {
            claims.insert(
                "google".to_owned(),
                json!({"compute_engine": instance(tree, licenses)}),
            );
        }
        Some(_) => return Err(Refusal::BadRequest("format must be standard or full")),
    }
    Ok((audience, claims))
}

/// What `format=full` tells.
fn instance(tree: &Node, licenses: bool) -> Map<String, Value> {
    let value = |path: &[&str]| at(tree, path).map(Node::json).unwrap_or_default();
    let zone = at(tree, &["instance", "zone"])
        .map(Node::text)
        .unwrap_or_default();
    let zone = zone.rsplit('/').next().unwrap_or_default();
    let mut told = Map::new();
    told.insert(
        "instance_id".to_owned(),
        at(tree, &["instance", "id"]).map(Node::text).into(),
    );
    told.insert("instance_name".to_owned(), value(&["instance", "name"]));
    told.insert("instance_creation_timestamp".to_owned(), 1_767_225_600_u64.into());
    told.insert("project_id".to_owned(), value(&["project", "project-id"]));
    told.insert(
        "project_number".to_owned(),
        value(&["project", "numeric-project-id"]),
    );
    told.insert("zone".to_owned(), zone.into());
    if licenses {
        let id = value(&["instance", "licenses", "0", "id"]);
        told.insert("license_id".to_owned(), json!([id]));
    }
    told
}

/// What the token is bound to, as a claim: `cnf` of RFC 8705 for a certificate.
fn binding(query: &Query, body: Option<&[u8]>) -> Result<Map<String, Value>, Refusal> {
    let of_query = query
        .get("bindCertificateFingerprint")
        .map(fingerprint)
        .transpose()?;
    let of_body = body.map(fingerprint_of_chain).transpose()?;
    let mut claims = Map::new();
    match (of_query, of_body) {
        (Some(_), Some(_)) => {
            return Err(Refusal::BadRequest(
                "one certificate, either by its fingerprint or as a chain",
            ));
        }
        (Some(sum), None) | (None, Some(sum)) => {
            claims.insert("cnf".to_owned(), json!({"x5t#S256": URL_SAFE_NO_PAD.encode(sum)}));
        }
        (None, None) => {}
    }
    for (name, known, why) in [
        ("transport", ["alts", "mtls"], "transport must be alts or mtls"),
        (
            "binding-enforcement",
            ["on", "iam-policy"],
            "binding-enforcement must be on or iam-policy",
        ),
    ] {
        match query.get(name) {
            None => {}
            Some(word) if known.contains(&word) => {
                claims.insert(name.to_owned(), word.into());
            }
            Some(_) => return Err(Refusal::BadRequest(why)),
        }
    }
    Ok(claims)
}

fn fingerprint(text: &str) -> Result<Vec<u8>, Refusal> {
    let sum = STANDARD_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text));
    sum.ok().filter(|sum| sum.len() == 32).ok_or(Refusal::BadRequest(
        "bindCertificateFingerprint must be the base64 of a SHA-256",
    ))
}

fn fingerprint_of_chain(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    #[derive(serde::Deserialize)]
    struct Form {
        certificate_chain: String,
    }
    let form: Form = serde_json::from_slice(body)
        .map_err(|_| Refusal::BadRequest("the body must be JSON with the member certificate_chain"))?;
    let leaf = CertificateDer::from_pem_slice(form.certificate_chain.as_bytes())
        .map_err(|_| Refusal::BadRequest("certificate_chain must be certificates in PEM"))?;
    Ok(digest(&SHA256, &leaf).as_ref().to_vec())
}

/// The key `enable-access-token-enforce-scopes` of the instance or the project.
fn is_enforced_here(tree: &Node) -> bool {
    ["instance", "project"].iter().any(|whose| {
        at(tree, &[whose, "attributes", "enable-access-token-enforce-scopes"])
            .is_some_and(|value| value.text().eq_ignore_ascii_case("true"))
    })
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|this| word.eq_ignore_ascii_case(this))
}

fn at<'a>(tree: &'a Node, path: &[&str]) -> Option<&'a Node> {
    tree.at(&super::ROOT)?.at(path)
}

fn lines<'a>(account: &'a Node, name: &str) -> BTreeSet<&'a str> {
    match account.at(&[name]) {
        Some(Node::Lines(lines)) => lines.iter().map(String::as_str).collect(),
        _ => BTreeSet::new(),
    }
}
