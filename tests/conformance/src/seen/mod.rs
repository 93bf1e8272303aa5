//! What the server said when it was asked politely, once a run: most checks only look at this. In: options. Out: [`Server`], with the first answer
//! of each method. Judges nothing.
mod identity;
mod sds;

pub use identity::{Cert, Identity, certificates};
pub use sds::{Delta, Sds, Secrets, node};

use crate::checks::Finding;
use crate::denied::Verdicts;
use crate::messages::workload::{
    Empty, FETCH_JWT_BUNDLES, FETCH_JWT_SVID, FETCH_X509_BUNDLES, FETCH_X509_SVID, JwtBundlesResponse,
    JwtSvidRequest, JwtSvidResponse, X509BundlesResponse, X509SvidResponse,
};
use crate::options::Options;
use crate::run::Rotated;
use crate::wire::{Ask, Call, Channel, Code, End, Event, Trouble};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A server under test.
#[derive(Debug)]
pub struct Server {
    /// What was asked for.
    pub options: Options,
    /// The connection that everything but the odd goes over.
    pub channel: Option<Channel>,
    /// How far the first call got.
    pub reach: Reach,
    /// FetchX509SVID.
    pub x509: Answer<X509SvidResponse>,
    /// The identities in it.
    pub identities: Vec<Identity>,
    /// FetchX509Bundles.
    pub x509_bundles: Answer<X509BundlesResponse>,
    /// FetchJWTSVID.
    pub jwt: Answer<JwtSvidResponse>,
    /// FetchJWTBundles.
    pub jwt_bundles: Answer<JwtBundlesResponse>,
    /// StreamSecrets: the answers to the certificate's and the roots' names.
    pub secrets: Result<Secrets, Finding>,
    /// What a caller without an identity was told.
    pub denied: Verdicts,
    /// What came after a rotation.
    pub rotated: Option<Rotated>,
    /// Since the epoch.
    pub now: Duration,
}

/// How far a first call gets.
#[derive(Clone, Debug)]
pub enum Reach {
    /// The connection did not become HTTP/2.
    NoPlaintext(String),
    /// HTTP/2, but no gRPC.
    NotGrpc(End),
    /// The caller was to authenticate itself.
    Unauthenticated(End),
    /// To a gRPC answer.
    Fine,
}

/// The first message of a method, or what came in its place.
#[derive(Clone, Debug)]
pub struct Answer<M> {
    method: &'static str,
    /// The message and its bytes, or why there is none.
    pub result: Result<(M, Bytes), Missing>,
    /// How long it took.
    pub after: Duration,
    /// The response's headers.
    pub head: End,
}

/// Why a method has no message.
#[derive(Clone, Debug)]
pub enum Missing {
    /// The call ended.
    Ended(End),
    /// Too slow, broken, undecodable.
    Trouble(String),
    /// Not asked.
    NotAsked,
}

impl<M: prost::Message + Default> Answer<M> {
    fn none(method: &'static str) -> Self {
        Self {
            method,
            result: Err(Missing::NotAsked),
            after: Duration::ZERO,
            head: End::default(),
        }
    }

    async fn ask(server: &Server, method: &'static str, request: &impl prost::Message) -> Self {
        let began = Instant::now();
        let mut answer = Self::none(method);
        let result = async {
            let mut call = server.call(Ask::one(method, request)).await?;
            let event = call.next().await;
            answer.head = call.head().clone();
            Ok::<_, Trouble>(match event? {
                Event::Message(bytes) => Ok((M::decode(bytes.clone()).map_err(Trouble::Message)?, bytes)),
                Event::End(end) => Err(Missing::Ended(end)),
            })
        }
        .await;
        answer.result = result.unwrap_or_else(|trouble| Err(Missing::Trouble(trouble.to_string())));
        answer.after = began.elapsed();
        answer
    }

    /// The message as it came.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.result.as_ref().ok().map(|(_, bytes)| bytes)
    }

    /// The message, or a reason to skip what needs it.
    pub fn get(&self) -> Result<&M, Finding> {
        let method = self.method.rsplit('/').next().unwrap_or_default();
        match &self.result {
            Ok((message, _)) => Ok(message),
            Err(Missing::Ended(end)) if end.code == Some(Code::UNIMPLEMENTED) => Err(Finding::Skipped(
                format!("{method} is not implemented here (an operator may switch a profile off)"),
            )),
            Err(Missing::Ended(end)) => Err(Finding::Skipped(format!("{method} gives this caller {end}"))),
            Err(Missing::Trouble(why)) => Err(Finding::Skipped(format!("{method}: {why}"))),
            Err(Missing::NotAsked) => Err(Finding::Skipped(format!("{method} was not asked"))),
        }
    }
}

impl Server {
    /// Connects and asks each method once. `Err`: there is nobody to ask.
    pub async fn meet(options: Options, now: Duration, denied: Verdicts) -> Result<Self, Trouble> {
        let channel = Channel::open(&options.endpoint, options.times.patience).await;
        let reach = match &channel {
            Err(trouble @ Trouble::Connect(_)) => Reach::NoPlaintext(trouble.to_string()),
            Err(trouble) => Reach::NoPlaintext(trouble.to_string()),
            Ok(_) => Reach::Fine,
        };
        let channel = match channel {
            Err(trouble @ Trouble::Connect(_)) => return Err(trouble),
            other => other.ok(),
        };
        let mut server = Self {
            options,
            channel,
            reach,
            x509: Answer::none(FETCH_X509_SVID),
            identities: vec![],
            x509_bundles: Answer::none(FETCH_X509_BUNDLES),
            jwt: Answer::none(FETCH_JWT_SVID),
            jwt_bundles: Answer::none(FETCH_JWT_BUNDLES),
            secrets: Err(Finding::Skipped("SDS is not looked at (--sds)".to_owned())),
            denied,
            rotated: None,
            now,
        };
        if server.channel.is_some() {
            server.ask_all().await;
        }
        Ok(server)
    }

    async fn ask_all(&mut self) {
        let request = JwtSvidRequest {
            audience: vec![self.options.audience.clone()],
            spiffe_id: String::new(),
        };
        let this = &*self;
        let (x509, x509_bundles, jwt, jwt_bundles): (Answer<X509SvidResponse>, _, _, _) = tokio::join!(
            Answer::ask(this, FETCH_X509_SVID, &Empty {}),
            Answer::ask(this, FETCH_X509_BUNDLES, &Empty {}),
            Answer::ask(this, FETCH_JWT_SVID, &request),
            Answer::ask(this, FETCH_JWT_BUNDLES, &Empty {}),
        );
        if let Ok((message, _)) = &x509.result {
            self.identities = message.svids.iter().map(Identity::of).collect();
        }
        self.reach = Self::reach(&x509);
        (self.x509, self.x509_bundles) = (x509, x509_bundles);
        (self.jwt, self.jwt_bundles) = (jwt, jwt_bundles);
        if matches!(self.reach, Reach::Fine) && self.options.sds.is_some() {
            self.secrets = Secrets::gather(self).await;
        }
    }

    fn reach(first: &Answer<X509SvidResponse>) -> Reach {
        match &first.result {
            Err(Missing::Ended(end)) if end.code == Some(Code::UNAUTHENTICATED) => {
                Reach::Unauthenticated(end.clone())
            }
            // A stream that was broken off is still gRPC: the check that made it break is another one.
            Err(Missing::Ended(end)) if end.code.is_none() && end.http.is_some() => {
                Reach::NotGrpc(end.clone())
            }
            _ => Reach::Fine,
        }
    }

    /// Begins a call on the shared connection.
    pub async fn call(&self, ask: Ask) -> Result<Call, Trouble> {
        let patience = self.options.times.patience;
        match &self.channel {
            Some(channel) => channel.call(ask, patience).await,
            None => Err(Trouble::Slow(patience)),
        }
    }

    /// Makes a call and waits for its first event.
    pub async fn first(&self, ask: Ask) -> Result<Event, Trouble> {
        self.call(ask).await?.next().await
    }

    /// A connection of its own.
    pub async fn another(&self) -> Result<Channel, Trouble> {
        Channel::open(&self.options.endpoint, self.options.times.patience).await
    }

    /// Some identity of this caller, or a reason to skip.
    pub fn identity(&self) -> Result<&Identity, Finding> {
        self.x509.get()?;
        self.identities
            .first()
            .ok_or_else(|| Finding::Skipped("there is no identity".to_owned()))
    }
}
