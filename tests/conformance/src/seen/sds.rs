//! A client of SDS: state of the world and incremental.
use super::Server;
use crate::checks::Finding;
use crate::messages::sds::{
    DELTA_SECRETS, DeltaRequest, DeltaResponse, DiscoveryRequest, DiscoveryResponse, ErrorDetail, Node,
    SECRET_TYPE, STREAM_SECRETS, Secret,
};
use crate::wire::{Ask, Call, Code, End, Event, Trouble};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A StreamSecrets stream.
#[derive(Debug)]
pub struct Sds {
    call: Call,
    /// What is subscribed to.
    pub names: Vec<String>,
    version: String,
    nonce: String,
    patience: Duration,
}

/// Who we say we are.
pub fn node() -> Node {
    Node {
        id: "spiffe-conformance".to_owned(),
        cluster: "conformance".to_owned(),
        user_agent_name: "envoy".to_owned(),
    }
}

impl Sds {
    /// Opens a stream and subscribes.
    pub async fn open(server: &Server, names: &[&str]) -> Result<Self, Trouble> {
        let call = server.call(Ask::open(STREAM_SECRETS)).await?;
        Ok(Self::begin(call, server.options.times.patience, names))
    }

    fn begin(call: Call, patience: Duration, names: &[&str]) -> Self {
        let mut sds = Self {
            call,
            names: vec![],
            version: String::new(),
            nonce: String::new(),
            patience,
        };
        sds.names = names.iter().map(|name| (*name).to_owned()).collect();
        let first = DiscoveryRequest {
            node: Some(node()),
            ..sds.request()
        };
        sds.call.send(&first);
        sds
    }

    /// A request that says where we stand.
    pub fn request(&self) -> DiscoveryRequest {
        DiscoveryRequest {
            version_info: self.version.clone(),
            resource_names: self.names.clone(),
            type_url: SECRET_TYPE.to_owned(),
            response_nonce: self.nonce.clone(),
            ..DiscoveryRequest::default()
        }
    }

    /// Sends any request.
    pub fn send(&mut self, request: &DiscoveryRequest) {
        self.call.send(request);
    }

    /// Subscribes to other names; the node is not said again.
    pub fn change(&mut self, names: &[&str]) {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self.call.send(&self.request());
    }

    /// Waits longer for each response.
    pub fn patient(&mut self, patience: Duration) {
        self.call.patient(patience);
    }

    /// Acknowledges.
    pub fn ack(&mut self, response: &DiscoveryResponse) {
        self.version.clone_from(&response.version_info);
        self.nonce.clone_from(&response.nonce);
        self.call.send(&self.request());
    }

    /// Refuses.
    pub fn nack(&mut self, response: &DiscoveryResponse) {
        self.nonce.clone_from(&response.nonce);
        let refusal = DiscoveryRequest {
            error_detail: Some(refusal()),
            ..self.request()
        };
        self.call.send(&refusal);
    }

    /// The next response; the end is told as a failure.
    pub async fn next(&mut self) -> Result<DiscoveryResponse, Finding> {
        match self.call.message().await? {
            Ok(response) => Ok(response),
            Err(end) => Err(ended("StreamSecrets", &end)),
        }
    }

    /// Reads (and acknowledges) responses until each of the names has come.
    pub async fn until(&mut self, names: &[&str]) -> Result<Secrets, Finding> {
        let mut secrets = Secrets::default();
        let until = Instant::now() + self.patience;
        while !names.iter().all(|name| secrets.by_name.contains_key(*name)) {
            if Instant::now() > until {
                return Err(Finding::Fails(format!(
                    "{} have come of {names:?}",
                    secrets.names()
                )));
            }
            let response = self.next().await.map_err(|why| match why {
                Finding::Fails(why) if !secrets.responses.is_empty() => {
                    Finding::Fails(format!("only {} came of {names:?}: {why}", secrets.names()))
                }
                why => why,
            })?;
            self.ack(&response);
            secrets.add(response);
        }
        Ok(secrets)
    }

    /// A response that comes within the quiet time and says nothing new, if one does.
    pub async fn silence(&mut self, quiet: Duration, known: &Secrets) -> Result<Option<String>, Finding> {
        match self.call.next_within(quiet).await {
            Err(Trouble::Slow(_)) => Ok(None),
            Err(trouble) => Err(trouble.into()),
            Ok(Event::End(end)) => Err(Finding::Fails(format!("the stream ended: {end}"))),
            Ok(Event::Message(bytes)) => {
                let response = DiscoveryResponse::decode(bytes).map_err(Trouble::Message)?;
                let mut now = Secrets::default();
                now.add(response);
                let same = now
                    .by_name
                    .iter()
                    .all(|(name, secret)| known.by_name.get(name) == Some(secret));
                Ok(same.then(|| format!("{} came again unchanged", now.names())))
            }
        }
    }
}

fn refusal() -> ErrorDetail {
    ErrorDetail {
        code: 3,
        message: "refused by the conformance suite".to_owned(),
    }
}

fn ended(method: &str, end: &End) -> Finding {
    if end.code == Some(Code::UNIMPLEMENTED) {
        Finding::Skipped(format!("{method} is not implemented here"))
    } else {
        Finding::Fails(format!("the stream ended: {end}"))
    }
}

/// What came, by name.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// As they came.
    pub responses: Vec<DiscoveryResponse>,
    /// The last of each name.
    pub by_name: BTreeMap<String, Secret>,
}

impl Secrets {
    /// The certificate and the roots, as an Envoy asks for them.
    pub(super) async fn gather(server: &Server) -> Result<Self, Finding> {
        let Some(names) = &server.options.sds else {
            return Err(Finding::Skipped("SDS is not looked at (--sds)".to_owned()));
        };
        let names = [names.default.as_str(), names.root.as_str()];
        let mut stream = Sds::open(server, &names).await?;
        stream.until(&names).await
    }

    /// Takes in a response.
    pub fn add(&mut self, response: DiscoveryResponse) {
        for any in &response.resources {
            if let Ok(secret) = Secret::decode(any.value.as_slice()) {
                self.by_name.insert(secret.name.clone(), secret);
            }
        }
        self.responses.push(response);
    }

    /// Which have come.
    pub fn names(&self) -> String {
        format!("{:?}", self.by_name.keys().collect::<Vec<_>>())
    }
}

/// A DeltaSecrets stream.
#[derive(Debug)]
pub struct Delta {
    call: Call,
}

impl Delta {
    /// Opens a stream and subscribes.
    pub async fn open(server: &Server, names: &[&str]) -> Result<Self, Trouble> {
        let call = server.call(Ask::open(DELTA_SECRETS)).await?;
        let mut delta = Self { call };
        delta.send(&DeltaRequest {
            node: Some(node()),
            ..Self::subscribe(names)
        });
        Ok(delta)
    }

    /// A request that adds to the subscription.
    pub fn subscribe(names: &[&str]) -> DeltaRequest {
        DeltaRequest {
            type_url: SECRET_TYPE.to_owned(),
            subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaRequest::default()
        }
    }

    /// A request that takes from the subscription.
    pub fn unsubscribe(names: &[&str]) -> DeltaRequest {
        DeltaRequest {
            type_url: SECRET_TYPE.to_owned(),
            unsubscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaRequest::default()
        }
    }

    /// Sends any request.
    pub fn send(&mut self, request: &DeltaRequest) {
        self.call.send(request);
    }

    /// Waits longer for each response.
    pub fn patient(&mut self, patience: Duration) {
        self.call.patient(patience);
    }

    /// Acknowledges, and refuses if told so.
    pub fn answer(&mut self, response: &DeltaResponse, refuse: bool) {
        self.call.send(&DeltaRequest {
            type_url: SECRET_TYPE.to_owned(),
            response_nonce: response.nonce.clone(),
            error_detail: refuse.then(refusal),
            ..DeltaRequest::default()
        });
    }

    /// The next response.
    pub async fn next(&mut self) -> Result<DeltaResponse, Finding> {
        match self.call.message().await? {
            Ok(response) => Ok(response),
            Err(end) => Err(ended("DeltaSecrets", &end)),
        }
    }

    /// Reads (and acknowledges) responses until each of the names has come, as a resource or as removed.
    pub async fn until(&mut self, names: &[&str]) -> Result<Vec<DeltaResponse>, Finding> {
        let (mut responses, mut missing) = (vec![], names.iter().copied().collect::<BTreeSet<_>>());
        while !missing.is_empty() {
            let response = self.next().await.map_err(|why| match why {
                Finding::Fails(why) => Finding::Fails(format!("without an answer for {missing:?}: {why}")),
                why @ Finding::Skipped(_) => why,
            })?;
            self.answer(&response, false);
            for name in response
                .resources
                .iter()
                .map(|r| r.name.as_str())
                .chain(response.removed.iter().map(String::as_str))
            {
                missing.remove(name);
            }
            responses.push(response);
        }
        Ok(responses)
    }

    /// A response that comes within the quiet time with a resource version that is known, if one does.
    pub async fn silence(
        &mut self,
        quiet: Duration,
        known: &[DeltaResponse],
    ) -> Result<Option<String>, Finding> {
        match self.call.next_within(quiet).await {
            Err(Trouble::Slow(_)) => Ok(None),
            Err(trouble) => Err(trouble.into()),
            Ok(Event::End(end)) => Err(ended("DeltaSecrets", &end)),
            Ok(Event::Message(bytes)) => {
                let response = DeltaResponse::decode(bytes).map_err(Trouble::Message)?;
                let was_sent = |r: &crate::messages::sds::Resource| {
                    known.iter().any(|k| k.resources.iter().any(|old| old == r))
                };
                let news = response.resources.iter().any(|r| !was_sent(r));
                Ok((!news).then(|| "a response came without anything new in it".to_owned()))
            }
        }
    }
}
