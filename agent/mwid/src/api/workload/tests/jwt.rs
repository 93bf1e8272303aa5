//! The JWT profile: who gets a JWT-SVID, what is said about those of others, and what bundles hold.
use super::*;
use crate::api::workload::jwt;
use crate::grpc::{Code, Dated, Frame, Status};
use crate::proto::workload::{
    JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
};
use crate::source::Minter;
use futures_util::StreamExt as _;
use mtls_identity::SpiffeId;
use prost::Message;
use prost_types::value::Kind;

const JWT_BUNDLES: &Subject = &Subject {
    method: Method::FetchJwtBundles,
    what: What::Bundles,
    page: |edition| &edition.jwt_bundles,
};

fn id() -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://{DOMAIN}/ns/shop/sa/pay")).unwrap()
}

/// A house whose source mints.
struct Mint {
    house: House,
}

impl Mint {
    async fn new() -> Self {
        let mut house = House::new();
        let (minter, public) = Minter::of(&id());
        let leaf = house.leaf(3600);
        let identity = house.proven_with(&leaf, &[], vec![public]);
        house.writer.publish(identity);
        house.settle().await;
        house.jwt_svids.send_replace(JwtSvids::Minter(minter));
        Self { house }
    }

    fn fetch(&self, caller: &Caller, audience: &[&str], spiffe_id: &str) -> Result<Frame, Status> {
        let request = JwtsvidRequest {
            audience: audience.iter().map(|&one| one.to_owned()).collect(),
            spiffe_id: spiffe_id.to_owned(),
        };
        jwt::fetch(&self.house.site, caller, &request).map(|(frame, _)| frame)
    }

    fn validate(&self, caller: &Caller, audience: &str, svid: &str) -> Result<Frame, Status> {
        let request = ValidateJwtsvidRequest {
            audience: audience.to_owned(),
            svid: svid.to_owned(),
        };
        jwt::validate(&self.house.site, caller, request)
    }

    fn token(&self, audience: &[&str]) -> String {
        let frame = self.fetch(&Caller::who_may(true), audience, "").unwrap();
        let answer = JwtsvidResponse::decode(&frame.message()[..]).unwrap();
        answer.svids.into_iter().next().unwrap().svid
    }

    fn validations(&self, outcome: &str) -> bool {
        let mut registry = prometheus_client::registry::Registry::default();
        self.house.site.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.contains(&format!("jwt_validations_total{{outcome=\"{outcome}\"}} 1"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_one_jwt_svid_for_exactly_what_it_asked() {
    let mint = Mint::new().await;
    let caller = Caller::who_may(true);
    for asked in ["", id().as_str()] {
        let frame = mint.fetch(&caller, &["a", "b"], asked).unwrap();
        let answer = JwtsvidResponse::decode(&frame.message()[..]).unwrap();
        let [svid] = &answer.svids[..] else {
            panic!("{} JWT-SVIDs", answer.svids.len());
        };
        assert_eq!((svid.spiffe_id.as_str(), svid.hint.as_str()), (id().as_str(), ""));
        for audience in ["a", "b"] {
            let frame = mint.validate(&caller, audience, &svid.svid).unwrap();
            let answer = ValidateJwtsvidResponse::decode(&frame.message()[..]).unwrap();
            assert_eq!(answer.spiffe_id, id().as_str());
        }
    }
    assert_eq!(
        caller.record(),
        ["granted JWT-SVID for a, b", "granted JWT-SVID for a, b"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_is_said_in_the_words_of_other_agents() {
    let mint = Mint::new().await;
    let caller = Caller::who_may(true);
    let long = "x".repeat(1025);
    let many = ["x"; 33];
    for (audience, spiffe_id, words) in [
        (&[][..], "", "audience must be specified"),
        (&["a", ""], "", "audience must be specified"),
        (&[&long], "", "an audience is 1025 bytes long"),
        (&many, "", "33 audiences"),
        (&["a"], "not an ID", "invalid requested SPIFFE ID: "),
    ] {
        let status = mint.fetch(&caller, audience, spiffe_id).unwrap_err();
        assert_eq!(status.code, Code::INVALID_ARGUMENT);
        assert!(status.message.starts_with(words), "{status}");
    }
    for (audience, svid, words) in [
        ("", "x", "audience must be specified"),
        ("x", "", "svid must be specified"),
    ] {
        let status = mint.validate(&caller, audience, svid).unwrap_err();
        assert_eq!(status, Status::new(Code::INVALID_ARGUMENT, words));
    }
    assert!(caller.record().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_have_the_identity_has_no_jwt_svid_and_no_verdict() {
    let mint = Mint::new().await;
    let token = mint.token(&["a"]);
    let caller = Caller::who_may(false);
    let denied = Status::new(Code::PERMISSION_DENIED, "no identity issued").taking_back();
    assert_eq!(mint.fetch(&caller, &["a"], "").unwrap_err(), denied);
    assert_eq!(mint.validate(&caller, "a", &token).unwrap_err(), denied);
    assert_eq!(
        caller.record(),
        [
            "denied JWT-SVID for a: no identity issued",
            "denied trust bundles: no identity issued"
        ]
    );
    let caller = Caller::who_may(true);
    let other = format!("spiffe://{DOMAIN}/ns/bank/sa/ledger");
    assert_eq!(mint.fetch(&caller, &["a"], &other).unwrap_err(), denied);
    assert_eq!(caller.record(), ["denied JWT-SVID for a: no identity issued"]);
}

#[tokio::test(start_paused = true)]
async fn without_what_signs_the_status_says_whether_to_ask_again() {
    let mut mint = Mint::new().await;
    let token = mint.token(&["a"]);
    let caller = Caller::who_may(true);
    let fetch = |mint: &Mint| mint.fetch(&caller, &["a"], "").unwrap_err();
    mint.house.jwt_svids.send_replace(JwtSvids::None("guest_agent"));
    let status = fetch(&mint);
    assert_eq!(status.code, Code::UNIMPLEMENTED);
    assert!(status.message.contains("identity.source guest_agent"), "{status}");
    mint.house.jwt_svids.send_replace(JwtSvids::NotYet);
    assert_eq!(fetch(&mint).code, Code::UNAVAILABLE);
    let another = SpiffeId::parse("spiffe://dev.internal/a").unwrap();
    mint.house
        .jwt_svids
        .send_replace(JwtSvids::Minter(Minter::of(&another).0));
    assert_eq!(
        fetch(&mint).code,
        Code::UNAVAILABLE,
        "of an identity that is not in force"
    );

    mint.validate(&caller, "a", &token).unwrap();
    mint.house.clock.0.fetch_add(2 * 3600, Ordering::SeqCst);
    for status in [fetch(&mint), mint.validate(&caller, "a", &token).unwrap_err()] {
        assert_eq!(status.code, Code::UNAVAILABLE, "bundles end with their identity");
    }
    mint.house.writer.clear();
    mint.house.settle().await;
    assert_eq!(fetch(&mint).code, Code::UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_has_all_claims_or_a_reason_without_the_token() {
    let mint = Mint::new().await;
    let caller = Caller::who_may(true);
    let token = mint.token(&["a"]);
    let frame = mint.validate(&caller, "a", &token).unwrap();
    let claims = ValidateJwtsvidResponse::decode(&frame.message()[..])
        .unwrap()
        .claims
        .unwrap();
    let names: Vec<_> = claims.fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "sub"]);
    assert_eq!(
        claims.fields["sub"].kind,
        Some(Kind::StringValue(id().to_string()))
    );
    assert!(mint.validations("valid"));

    let wrong = |audience: &str, token: &str, words: &str| {
        let status = mint.validate(&caller, audience, token).unwrap_err();
        assert_eq!(status.code, Code::INVALID_ARGUMENT);
        assert!(
            status.message.contains(words) && !status.message.contains("eyJ"),
            "{status}"
        );
    };
    wrong("b", &token, "for another audience");
    wrong("a", &format!("{token}A"), "signature");
    wrong("a", "eyJ.eyJ", "three parts");
    assert!(mint.validations("audience") && mint.validations("signature") && mint.validations("form"));
    assert!(caller.record().is_empty(), "a verdict gives nothing away");
}

fn sets(dated: &Dated) -> Vec<(String, usize)> {
    let answer = JwtBundlesResponse::decode(&dated.pieces.message()[..]).unwrap();
    let keys = |set: &[u8]| {
        let set: serde_json::Value = serde_json::from_slice(set).unwrap();
        set["keys"].as_array().unwrap().len()
    };
    answer
        .bundles
        .iter()
        .map(|(id, set)| (id.clone(), keys(set)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn jwt_bundles_hold_our_own_domain_and_others_with_keys() {
    let mut house = House::new();
    let bundle = |name: &str| TrustBundle::from_roots(TrustDomain::parse(name).unwrap(), vec![]).unwrap();
    let key = || Minter::of(&id()).1;
    let with_key = bundle("b.example").with_jwt_key(key()).unwrap();
    let others = [bundle("a.example"), with_key];
    let own = format!("spiffe://{DOMAIN}");
    let leaf = house.leaf(3600);
    let identity = house.proven_with(&leaf, &others, vec![]);
    house.writer.publish(identity);
    house.settle().await;
    let caller = Caller::who_may(true);
    let mut stream = Box::pin(house.feed(&caller, JWT_BUNDLES).begin().unwrap());
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(
        sets(&first),
        [("spiffe://b.example".to_owned(), 1), (own.clone(), 0)]
    );

    // Another leaf with the same bundles is nothing new; another key is.
    let leaf = house.leaf(3000);
    let identity = house.proven_with(&leaf, &others, vec![]);
    house.writer.publish(identity);
    house.settle().await;
    assert!(at_hand(&mut stream).is_none());
    let identity = house.proven_with(&leaf, &[], vec![key(), key()]);
    house.writer.publish(identity);
    let second = stream.next().await.unwrap().unwrap();
    assert_eq!(sets(&second), [(own, 2)]);
}
