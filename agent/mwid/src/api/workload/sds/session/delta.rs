//! Incremental (`DeltaSecrets`): each answer holds what differs from what the client has.
use super::super::secrets::Secrets;
use super::{Answer, Nack, Outcome, Refusal, WILDCARD, bounds, refuse_hopeless, shortened};
use crate::proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One stream.
#[derive(Debug, Default)]
pub(in super::super) struct Delta {
    names: BTreeSet<Arc<str>>,
    wildcard: bool,
    started: bool,
    /// Names that are to be told of whatever the client has.
    owed: BTreeSet<Arc<str>>,
    /// What the client has, as far as we told it or it told us.
    known: BTreeMap<Arc<str>, Known>,
    answers: u64,
    /// Answers that the client said nothing of yet, the oldest first.
    open: Vec<(String, Arc<str>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    Version(Arc<str>),
    /// It was told that there is none.
    Missing,
}

/// A client that acknowledges nothing is not remembered for longer.
const MOST_OPEN: usize = 16;

impl Delta {
    /// Takes a request. Without secrets yet, what it asks for stays owed.
    pub(in super::super) fn request(
        &mut self,
        request: &DeltaDiscoveryRequest,
        secrets: Option<&Secrets>,
    ) -> Result<Outcome, Refusal> {
        bounds::check_type(&request.type_url)?;
        bounds::check_names(&request.resource_names_subscribe)?;
        let nack = self.acknowledge(request);
        let is_first = !std::mem::replace(&mut self.started, true);
        let subscribe = &request.resource_names_subscribe;
        self.subscribe(subscribe, is_first)?;
        if is_first {
            self.resume(&request.initial_resource_versions)?;
        }
        self.unsubscribe(&request.resource_names_unsubscribe);
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
        let mut removed: Vec<_> = self.known.keys().chain(&self.owed).cloned().collect();
        removed.retain(|name| !wanted.contains(name));
        removed.sort();
        removed.dedup();
        for name in &removed {
            self.known.remove(name);
        }
        let subscribed = wanted.len();
        let (mut found, mut missing) = (vec![], vec![]);
        for name in wanted {
            let known = self.known.get(&name).filter(|_| !self.owed.contains(&name));
            match secrets.find(&name) {
                Ok(secret) => {
                    let has = Known::Version(Arc::clone(&secret.version));
                    if known != Some(&has) {
                        self.known.insert(Arc::clone(&name), has);
                        found.push((name, secret));
                    }
                }
                Err(_) if known == Some(&Known::Missing) => {}
                Err(why) => {
                    self.known.insert(Arc::clone(&name), Known::Missing);
                    missing.push((name, why));
                }
            }
        }
        self.owed.clear();
        if found.is_empty() && missing.is_empty() && removed.is_empty() {
            return Ok(None);
        }
        self.answers += 1;
        let answer = Answer {
            version: Arc::clone(secrets.version()),
            nonce: self.answers.to_string(),
            found,
            missing,
            removed,
        };
        refuse_hopeless(&answer, subscribed)?;
        if self.open.len() == MOST_OPEN {
            self.open.remove(0);
        }
        self.open
            .push((answer.nonce.clone(), Arc::clone(&answer.version)));
        Ok(Some(answer))
    }

    pub(in super::super) fn kept(&self) -> usize {
        bounds::kept(self.names.iter().chain(&self.owed).chain(self.known.keys()))
    }

    /// A nonce here says what became of an answer, and nothing of the names: those count in any request.
    fn acknowledge(&mut self, request: &DeltaDiscoveryRequest) -> Option<Nack> {
        let of = |(nonce, _): &(String, _)| *nonce == request.response_nonce;
        let (_, version) = self.open.remove(self.open.iter().position(of)?);
        let detail = request.error_detail.as_ref()?;
        Some(Nack {
            version,
            reason: shortened(&detail.message),
        })
    }

    fn subscribe(&mut self, names: &[String], is_first: bool) -> Result<(), Refusal> {
        // A stream that begins without a name wants everything.
        self.wildcard |= is_first && names.is_empty();
        for name in names {
            if name == WILDCARD {
                self.wildcard = true;
                continue;
            }
            let name: Arc<str> = name.as_str().into();
            self.names.insert(Arc::clone(&name));
            self.owed.insert(name);
        }
        bounds::check_all(&self.names)
    }

    /// A client that was here before says what it has, and is told the rest.
    fn resume(&mut self, versions: &BTreeMap<String, String>) -> Result<(), Refusal> {
        bounds::check_known(versions)?;
        for (name, version) in versions {
            if !self.wildcard && !self.names.contains(name.as_str()) {
                continue;
            }
            self.owed.remove(name.as_str());
            if version.len() <= bounds::LONGEST_VERSION {
                let version = Known::Version(version.as_str().into());
                self.known.insert(name.as_str().into(), version);
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            if name == WILDCARD {
                self.wildcard = false;
                let names = &self.names;
                self.known.retain(|name, _| names.contains(name));
            } else if self.names.remove(name.as_str()) {
                self.owed.remove(name.as_str());
                self.known.remove(name.as_str());
                // Whether everything holds it still is told.
                if self.wildcard {
                    self.owed.insert(name.as_str().into());
                }
            }
        }
    }
}
