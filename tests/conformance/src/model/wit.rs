//! The WIT-SVID profile of the model.
use super::connection::Context;
use super::pki::DOMAIN;
use super::reply::{Refusal, Reply};
use crate::messages::workload::{WitBundlesResponse, WitSvid, WitSvidResponse};
use crate::wire::Code;
use serde_json::json;

pub(super) fn svid(context: &Context, reply: &mut Reply) -> Result<(), Refusal> {
    let flaw = context.shared.flaw;
    let world = context.shared.world.borrow().clone();
    let key = &world.authorities.wit;
    let mut header = key.header();
    header["typ"] = json!(flaw.or("wit.headers", "wit+jwt", "JWT"));
    let mut holder = world.authorities.spare.jwk("sig");
    holder["alg"] = json!("ES256");
    let mut claims = json!({
        "sub": world.identities[1].id,
        "exp": world.now.as_secs() + 300,
        "cnf": {"jwk": holder},
    });
    if flaw.is("wit.claims") {
        claims["aud"] = json!("anybody");
    }
    let svid = WitSvid {
        spiffe_id: world.identities[1].id.clone(),
        wit_svid: key.sign(&header, &claims),
        wit_svid_key: flaw.or("wit.svid", "{\"kty\":\"EC\"}", "").to_owned(),
        hint: String::new(),
    };
    reply.message(&WitSvidResponse { svids: vec![svid] });
    Ok(())
}

pub(super) fn bundles(context: &Context, reply: &mut Reply) -> Result<(), Refusal> {
    let flaw = context.shared.flaw;
    if flaw.is("wit.all-or-none") {
        return Err(Refusal(Code::UNIMPLEMENTED, "half of it"));
    }
    let world = context.shared.world.borrow().clone();
    let set = json!({"keys": [world.authorities.wit.jwk("wit-svid")]}).to_string();
    let name = format!("{}{DOMAIN}", flaw.or("wit.bundles", "spiffe://", ""));
    reply.message(&WitBundlesResponse {
        bundles: [(name, set)].into(),
    });
    Ok(())
}
