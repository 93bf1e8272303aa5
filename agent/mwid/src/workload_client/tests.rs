//! Answers read as a client must, of agents that were written by hand here.
use super::*;
use crate::grpc::{Answer, Call, Calls, Code, Frame, Limits, Metrics, Service, Status, serve};
use crate::http::listener::Listener;
use crate::http::{self, Holder, Stream};
use messages::{JwtBundlesResponse, ValidateJwtsvidResponse, X509BundlesResponse};
use messages::{X509svid, X509svidResponse};
use mtls_identity::{Prover, TrustDomain, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use std::sync::Arc;
use testkit::pki::World;
use tokio_util::sync::CancellationToken;

fn now() -> UnixTime {
    DefaultTimeProvider.current_time().unwrap()
}

fn svid(world: &World) -> X509svid {
    let leaf = world.leaf("/a");
    X509svid {
        spiffe_id: "spiffe://example.org/a".to_owned(),
        x509_svid: [&*leaf.leaf_der, &*world.intermediate.cert_der].concat(),
        x509_svid_key: leaf.key_der,
        bundle: world.root_der().to_vec(),
        hint: "internal".to_owned(),
    }
}

fn answer(svids: Vec<X509svid>) -> X509svidResponse {
    X509svidResponse {
        svids,
        ..X509svidResponse::default()
    }
}

/// An agent that says this to every call, if the header is there.
#[derive(Clone)]
struct Agent(Result<Frame, Status>);

impl Service<Stream> for Agent {
    type Connection = Self;

    fn connected(&self, _: &Stream) -> (Self, Option<Holder>) {
        (self.clone(), None)
    }
}

impl Calls for Agent {
    fn knows(&self, _: &str) -> bool {
        true
    }

    async fn call(self: Arc<Self>, call: Call) -> Answer {
        if call
            .metadata()
            .get("workload.spiffe.io")
            .is_none_or(|v| v != "true")
        {
            return Status::new(Code::INVALID_ARGUMENT, "no header").into();
        }
        self.0.clone().into()
    }
}

async fn agent(says: Result<Frame, Status>) -> (Client, tokio_util::sync::DropGuard) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(
        Listener::open_tcp(listener).unwrap(),
        Arc::new(Agent(says)),
        Limits::default(),
        Metrics::default().server("agent", &http::Metrics::default()),
        stop.clone(),
    ));
    let client = Client::open(endpoint, Duration::from_secs(30)).await.unwrap();
    (client, stop.drop_guard())
}

#[tokio::test]
async fn svids_come_with_each_domains_bundle_apart_and_can_be_proven() {
    let (world, other) = (World::new("example.org"), World::new("other.example"));
    let mut said = answer(vec![svid(&world), svid(&world)]);
    let roots = other.root_der().to_vec();
    said.federated_bundles
        .insert("spiffe://other.example".to_owned(), roots);
    let (client, _agent) = agent(Ok(Frame::secret(&said))).await;
    let svids = client.x509().await.unwrap();
    assert_eq!(svids.len(), 2);
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    for svid in svids {
        assert_eq!(svid.hint, "internal");
        let identity = prover.prove(&svid.candidate, now()).unwrap();
        assert_eq!(*identity.id(), svid.id);
        assert_eq!((identity.chain().len(), identity.bundles().len()), (2, 2));
        let domain = TrustDomain::parse("other.example").unwrap();
        let bundle = identity.bundles().get(&domain).unwrap();
        assert_eq!(bundle.roots()[0].as_ref(), other.root_der());
    }
}

#[tokio::test]
async fn bundles_and_claims_are_read() {
    let world = World::new("example.org");
    let said = X509BundlesResponse {
        bundles: [("spiffe://example.org".to_owned(), world.root_der().to_vec())].into(),
        ..Default::default()
    };
    let (client, _agent) = agent(Ok(Frame::of(&said))).await;
    assert_eq!(client.x509_bundles().await.unwrap().len(), 1);
    let keys = br#"{"keys": [{"kty": "EC", "kid": "1", "crv": "P-256", "x": "AA", "y": "AA"}]}"#;
    let said = JwtBundlesResponse {
        bundles: [("spiffe://example.org".to_owned(), keys.to_vec())].into(),
    };
    let (client, _agent) = agent(Ok(Frame::of(&said))).await;
    let bundles = client.jwt_bundles().await.unwrap();
    assert_eq!(
        bundles.iter().next().unwrap().jwt_keys().len(),
        1,
        "without `use`"
    );
    let number = |number| prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(number)),
    };
    let list = prost_types::ListValue {
        values: vec![
            number(1.5),
            number(1_700_000_000.0),
            prost_types::Value { kind: None },
        ],
    };
    let list = prost_types::Value {
        kind: Some(prost_types::value::Kind::ListValue(list)),
    };
    let said = ValidateJwtsvidResponse {
        spiffe_id: "spiffe://example.org/a".to_owned(),
        claims: Some(prost_types::Struct {
            fields: [("l".to_owned(), list)].into(),
        }),
    };
    let (client, _agent) = agent(Ok(Frame::of(&said))).await;
    let validated = client.validate("x", "a.b.c").await.unwrap();
    assert_eq!(validated.claims.to_string(), r#"{"l":[1.5,1700000000,null]}"#);
}

#[tokio::test]
async fn jwt_svids_are_read() {
    let one = |id: &str| messages::Jwtsvid {
        spiffe_id: id.to_owned(),
        svid: "a.b.c".to_owned(),
        hint: "internal".to_owned(),
    };
    let said = |svids| Frame::secret(&messages::JwtsvidResponse { svids });
    let (client, _agent) = agent(Ok(said(vec![one("spiffe://example.org/a")]))).await;
    let svids = client.jwt_svids(&["x".to_owned()], None).await.unwrap();
    let read: Vec<_> = svids
        .iter()
        .map(|s| (s.id.as_str(), s.token.as_str(), s.hint.as_str()))
        .collect();
    assert_eq!(read, [("spiffe://example.org/a", "a.b.c", "internal")]);
    for svids in [vec![], vec![one("example.org")]] {
        let (client, _agent) = agent(Ok(said(svids))).await;
        let error = client.jwt_svids(&["x".to_owned()], None).await.err().unwrap();
        assert!(matches!(&error, ClientError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_by_what_is_wrong_with_it() {
    let world = World::new("example.org");
    let broken = async |change: fn(&mut X509svid)| {
        let mut svid = svid(&world);
        change(&mut svid);
        let (client, _agent) = agent(Ok(Frame::of(&answer(vec![svid])))).await;
        match client.x509().await.err().unwrap() {
            ClientError::Answer { source, .. } => source,
            other => panic!("{other}"),
        }
    };
    assert!(matches!(
        broken(|svid| svid.spiffe_id.clear()).await,
        AnswerError::Id { .. }
    ));
    let short = |svid: &mut X509svid| svid.x509_svid.truncate(svid.x509_svid.len() - 1);
    assert!(matches!(broken(short).await, AnswerError::Certificates { .. }));
    let leaf = |svid: &mut X509svid| svid.bundle.clone_from(&svid.x509_svid);
    assert!(matches!(broken(leaf).await, AnswerError::Bundle(_)));
    let (client, _agent) = agent(Ok(Frame::of(&answer(vec![])))).await;
    let error = client.x509().await.err().unwrap();
    assert!(
        matches!(
            &error,
            ClientError::Answer {
                source: AnswerError::NoSvid,
                ..
            }
        ),
        "{error}"
    );
    let denied = Status::new(Code::PERMISSION_DENIED, "no identity issued");
    let (client, _agent) = agent(Err(denied)).await;
    let error = client.x509().await.err().unwrap();
    let text = crate::report::Causes(&error).to_string();
    assert!(
        text.contains("PERMISSION_DENIED: \"no identity issued\""),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let began = Instant::now();
    let client = Client::open(endpoint, Duration::from_secs(7)).await.unwrap();
    let error = client.x509().await.err().unwrap();
    assert!(matches!(&error, ClientError::TimedOut { .. }), "{error}");
    assert_eq!(began.elapsed().as_secs(), 7);
}
