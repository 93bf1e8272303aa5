//! JWT-SVIDs and JWT bundles of the model.
use super::pki::{DOMAIN, FOREIGN};
use super::tokens::TokenKey;
use super::world::{Identity, World};
use crate::messages::workload::{JwtBundlesResponse, JwtSvid, JwtSvidResponse};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl World {
    fn expiry(&self, seconds: i64) -> i64 {
        i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX / 2) + seconds
    }

    fn claims(&self, identity: &Identity, audience: &[String]) -> Value {
        json!({"sub": identity.id, "aud": audience, "exp": self.expiry(300)})
    }

    fn token(&self, identity: &Identity, audience: &[String]) -> String {
        let key = &self.authorities.signer;
        key.sign(&key.header(), &self.claims(identity, audience))
    }

    /// A token whose time is over.
    pub(super) fn expired(&self, audience: &str) -> String {
        let mut claims = self.claims(&self.identities[0], &[audience.to_owned()]);
        claims["exp"] = json!(self.expiry(-3600));
        let key = &self.authorities.signer;
        key.sign(&key.header(), &claims)
    }

    /// The token of the last identity: what is wrong with a token is wrong with this one.
    fn odd_token(&self, identity: &Identity, audience: &[String]) -> String {
        let flaw = self.flaw;
        let key = &self.authorities.signer;
        let (mut header, mut claims) = (key.header(), self.claims(identity, audience));
        if flaw.is("jwt.algorithm") {
            header["alg"] = json!("EdDSA");
        }
        if flaw.is("jwt.type") {
            header["typ"] = json!("wit+jwt");
        }
        if flaw.is("jwt.headers") {
            header["jku"] = json!("https://model.test/keys");
        }
        if flaw.is("jwt.subject") {
            claims["sub"] = json!("spiffe://model.test/somebody-else");
        }
        if flaw.is("jwt.audience") {
            claims["aud"] = json!([]);
        }
        if flaw.is("jwt.audience-asked") {
            claims["aud"] = json!(["somebody-else"]);
        }
        if flaw.is("jwt.expiry") {
            claims["exp"] = json!("soon");
        }
        if flaw.is("jwt.not-expired") {
            claims["exp"] = json!(self.expiry(-60));
        }
        if flaw.is("jwt.signature") {
            return self.authorities.spare.sign(&header, &claims);
        }
        let token = key.sign(&header, &claims);
        flaw.or("jwt.compact", token.clone(), token + "==")
    }

    /// The message of FetchJWTSVID: of one identity, or of all. `None`: it is nobody's.
    pub(super) fn jwt(&self, audience: &[String], spiffe_id: &str) -> Option<JwtSvidResponse> {
        let flaw = self.flaw;
        let [first, last] = &self.identities;
        let svid = |identity: &Identity, svid| JwtSvid {
            spiffe_id: identity.id.clone(),
            svid,
            hint: identity.hint.to_owned(),
        };
        let mut svids = vec![
            svid(first, self.token(first, audience)),
            svid(last, self.odd_token(last, audience)),
        ];
        if !spiffe_id.is_empty() {
            let known = svids.iter().any(|svid| svid.spiffe_id == spiffe_id);
            if !known && !flaw.is("jwt.foreign-identity") {
                return None;
            }
            if known && !flaw.is("jwt.asked-identity") {
                svids.retain(|svid| svid.spiffe_id == spiffe_id);
            }
            return Some(JwtSvidResponse { svids });
        }
        if flaw.is("jwt.spiffe-id") {
            svids[0].spiffe_id.clear();
        }
        if flaw.is("jwt.svid") {
            svids[1].svid.clear();
        }
        if flaw.is("jwt.hint-unique") {
            svids[1].hint = svids[0].hint.clone();
        }
        if flaw.is("jwt.every-identity") {
            svids.truncate(1);
        }
        if flaw.is("jwt.svids") {
            svids.clear();
        }
        Some(JwtSvidResponse { svids })
    }

    /// The message of FetchJWTBundles.
    pub(super) fn jwt_bundles(&self) -> JwtBundlesResponse {
        let flaw = self.flaw;
        let mut bundles = BTreeMap::new();
        let foreign = json!({"keys": [], "spiffe_sequence": 1});
        bundles.insert(format!("spiffe://{FOREIGN}"), foreign.to_string().into_bytes());
        if !flaw.is("jwks.own") {
            let name = format!("{}{DOMAIN}", flaw.or("jwks.map-keys", "spiffe://", ""));
            bundles.insert(name, self.key_set().to_string().into_bytes());
        }
        if flaw.is("jwks.there") {
            bundles.clear();
        }
        JwtBundlesResponse { bundles }
    }

    fn key_set(&self) -> Value {
        let flaw = self.flaw;
        let mut set = json!({
            "keys": [self.authorities.signer.jwk("jwt-svid"), self.odd_key(&self.authorities.spare)],
            "spiffe_sequence": 1,
            "spiffe_refresh_hint": 300,
        });
        if flaw.is("jwks.sequence") {
            set["spiffe_sequence"] = json!("1");
        }
        if flaw.is("jwks.refresh-hint") {
            set["spiffe_refresh_hint"] = json!(0.5);
        }
        flaw.or("jwks.set", set, json!({"kty": "EC"}))
    }

    /// The key that signs nothing: what is wrong with a key is wrong with this one.
    fn odd_key(&self, key: &TokenKey) -> Value {
        let flaw = self.flaw;
        let mut key = key.jwk(flaw.or("jwks.only-jwt", "jwt-svid", "x509-svid"));
        for (check, member) in [("jwks.key-type", "kty"), ("jwks.key-id", "kid")] {
            if flaw.is(check)
                && let Some(members) = key.as_object_mut()
            {
                members.remove(member);
            }
        }
        if flaw.is("jwks.parameters") {
            key["d"] = json!("c2VjcmV0");
        }
        key
    }
}
