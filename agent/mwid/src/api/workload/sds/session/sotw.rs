//! State of the world (`StreamSecrets`, `FetchSecrets`): each answer holds all that the stream asks for.
use super::super::secrets::Secrets;
use super::{Answer, Nack, Outcome, Refusal, WILDCARD, bounds, refuse_hopeless, shortened};
use crate::proto::envoy::service::discovery::v3::DiscoveryRequest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One stream.
#[derive(Debug, Default)]
pub(in super::super) struct Sotw {
    names: BTreeSet<Arc<str>>,
    wildcard: bool,
    /// Once names were given, no names means nothing instead of everything.
    ever_named: bool,
    started: bool,
    /// Something was asked for that no answer has met yet.
    owed: bool,
    answers: u64,
    last: Option<Sent>,
}

/// The last answer.
#[derive(Debug)]
struct Sent {
    nonce: String,
    version: Arc<str>,
    /// Names and versions; none for what was missing.
    content: Content,
    /// Accepted or refused by the client.
    acknowledged: bool,
}

type Content = Vec<(Arc<str>, Option<Arc<str>>)>;

impl Sotw {
    /// Takes a request. Without secrets yet, what it asks for stays owed.
    pub(in super::super) fn request(
        &mut self,
        request: &DiscoveryRequest,
        secrets: Option<&Secrets>,
    ) -> Result<Outcome, Refusal> {
        bounds::check_type(&request.type_url)?;
        bounds::check_names(&request.resource_names)?;
        let is_stale = self.started && request.response_nonce != self.nonce();
        if is_stale {
            // It crossed our last answer on the way. The client speaks again once it has that.
            return Ok(Outcome::default());
        }
        let nack = self.acknowledge(request);
        self.subscribe(&request.resource_names)?;
        self.started = true;
        let answer = match secrets {
            Some(secrets) => self.due(secrets)?,
            None => None,
        };
        Ok(Outcome { nack, answer })
    }

    /// What is to be told of these secrets.
    pub(in super::super) fn due(&mut self, secrets: &Secrets) -> Result<Option<Answer>, Refusal> {
        let mut wanted = self.names.clone();
        if self.wildcard {
            wanted.extend(secrets.everything());
        }
        if wanted.is_empty() {
            self.owed = false;
            return Ok(None);
        }
        let (mut found, mut missing) = (vec![], vec![]);
        let mut content = Content::with_capacity(wanted.len());
        for name in wanted {
            match secrets.find(&name) {
                Ok(secret) => {
                    content.push((Arc::clone(&name), Some(Arc::clone(&secret.version))));
                    found.push((name, secret));
                }
                Err(why) => {
                    content.push((Arc::clone(&name), None));
                    missing.push((name, why));
                }
            }
        }
        let is_new = self.last.as_ref().is_none_or(|last| last.content != content);
        if !self.owed && !is_new {
            return Ok(None);
        }
        self.owed = false;
        self.answers += 1;
        let answer = Answer {
            version: Arc::clone(secrets.version()),
            nonce: self.answers.to_string(),
            found,
            missing,
            removed: vec![],
        };
        refuse_hopeless(&answer, content.len())?;
        self.last = Some(Sent {
            nonce: answer.nonce.clone(),
            version: Arc::clone(&answer.version),
            content,
            acknowledged: false,
        });
        Ok(Some(answer))
    }

    pub(in super::super) fn kept(&self) -> usize {
        bounds::kept(self.names.iter())
    }

    fn nonce(&self) -> &str {
        self.last.as_ref().map_or("", |last| &last.nonce)
    }

    /// Only the first word on an answer counts: later requests carry the same nonce to change the names.
    fn acknowledge(&mut self, request: &DiscoveryRequest) -> Option<Nack> {
        let last = self.last.as_mut()?;
        if std::mem::replace(&mut last.acknowledged, true) {
            return None;
        }
        let reason = match &request.error_detail {
            Some(detail) => shortened(&detail.message),
            None if request.version_info == *last.version => return None,
            None => "no reason given, but the version before this one named".to_owned(),
        };
        Some(Nack {
            version: Arc::clone(&last.version),
            reason,
        })
    }

    fn subscribe(&mut self, names: &[String]) -> Result<(), Refusal> {
        let mut wanted: BTreeSet<Arc<str>> = names.iter().map(|name| Arc::from(name.as_str())).collect();
        self.ever_named |= !wanted.is_empty();
        let wildcard = wanted.remove(WILDCARD) || !self.ever_named;
        bounds::check_all(&wanted)?;
        let more = wanted.difference(&self.names).next().is_some() || (wildcard && !self.wildcard);
        self.owed |= more;
        // What is no more asked for is no difference to the last answer: fewer names want none.
        if let Some(last) = self.last.as_mut().filter(|_| !wildcard) {
            last.content.retain(|(name, _)| wanted.contains(name));
        }
        (self.names, self.wildcard) = (wanted, wildcard);
        Ok(())
    }
}
