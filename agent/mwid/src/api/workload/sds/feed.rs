//! One stream.
//!
//! In: its requests, what holds now, the names in force, and what its caller may have. Out: one answer at a time, made when its client takes it:
//! who reads slowly gets the newest when it reads on, and nothing is read from it meanwhile. What it leaves of an answer is taken back when that
//! is over. Ends with a status when its caller may not have the identity any more, asks for what can never be, or for more than its share.
use super::super::connection::Connection;
use super::super::edition::Edition;
use super::super::guest::{Guest, Watch as _};
use super::super::hub::{Now, Subscription};
use super::super::refusal;
use super::super::revoked::{over, revoked};
use super::kind::Session;
use super::metrics::OpenStream;
use super::record::Who;
use super::secrets::Secrets;
use super::session::{Answer, MOST_NAMES, Outcome, Refusal, plain_wanted};
use crate::caller::What;
use crate::config::SdsSettings;
use crate::grpc::{self, Call, Code, Dated, Revoked, Status};
use futures_util::stream;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use tokio::sync::watch;

pub(super) struct Feed<S, G: Guest> {
    connection: Arc<Connection<G>>,
    call: Call,
    watch: G::Watch,
    subscription: Subscription,
    names: watch::Receiver<Arc<SdsSettings>>,
    session: S,
    who: Who,
    plain: bool,
    /// How many answers went out.
    sent: u64,
    refused: Refused,
    _open: OpenStream,
}

impl<S: Session, G: Guest> Feed<S, G> {
    /// The stream's answers, or why there will be none.
    pub(super) fn begin(connection: Arc<Connection<G>>, call: Call) -> Result<grpc::Answer, Status> {
        let revoked = revoked(&connection);
        let site = &connection.site;
        let mut feed = Self {
            call: S::asked(call.without_head()),
            watch: connection.guest.watch(),
            subscription: site.hub.subscribe(),
            names: site.sds.names.subscribe(),
            session: S::default(),
            who: Who::default(),
            plain: false,
            sent: 0,
            refused: Refused::default(),
            _open: site.sds.metrics.opened(S::KIND),
            connection,
        };
        feed.secrets()?;
        let answers = stream::unfold(Some(feed), |feed| async {
            let mut feed = feed?;
            let next = feed.next().await.transpose()?;
            let feed = next.is_ok().then_some(feed);
            Some((next, feed))
        });
        // Each: an increment that is left out would never come again.
        Ok(grpc::Answer::Each(Box::pin(answers), Some(revoked)))
    }

    /// The next answer; none when the client asks no more. Asked for only when the client takes one.
    async fn next(&mut self) -> Result<Option<Dated>, Status> {
        loop {
            let mut switched = false;
            let request = tokio::select! {
                // What the caller may have comes before what it asks for.
                biased;
                () = self.watch.changed() => None,
                request = self.call.next::<S::Request>() => match request? {
                    Some(request) => Some(request),
                    None => return Ok(None),
                },
                changed = self.names.changed() => {
                    // The sender lives as long as `sds`.
                    changed.map_err(|_| refusal::stopping())?;
                    None
                }
                goes_on = self.subscription.changed() => {
                    if !goes_on {
                        return Err(refusal::stopping());
                    }
                    switched = true;
                    None
                }
            };
            let before = self.sent;
            if let Some(dated) = self.step(request.as_ref())? {
                if switched && before > 0 {
                    self.reached();
                }
                return Ok(Some(dated));
            }
        }
    }

    fn step(&mut self, request: Option<&S::Request>) -> Result<Option<Dated>, Status> {
        if let Some(node) = request.and_then(S::node) {
            // Only the first request has one, as a rule.
            self.plain = plain_wanted(node);
            self.who = Who::of(node);
        }
        let secrets = self.secrets()?;
        let outcome = match (request, &secrets) {
            (Some(request), secrets) => self.session.request(request, secrets.as_deref()),
            (None, Some(secrets)) => self.session.due(secrets).map(Outcome::from),
            (None, None) => return Ok(None),
        };
        let outcome = outcome.map_err(|refusal| self.refused(&refusal))?;
        if request.is_some() {
            self.call.keep(self.session.kept())?;
        }
        if let Some(nack) = outcome.nack {
            let sds = &self.connection.site.sds;
            sds.metrics.refused(S::KIND);
            let user = self.connection.guest.user();
            sds.record.refused(S::KIND, user, &self.who, &nack);
        }
        // There is no answer without secrets.
        let both = outcome.answer.zip(secrets);
        Ok(both.map(|(answer, secrets)| self.message(&answer, &secrets)))
    }

    /// What there is now for this caller.
    fn secrets(&mut self) -> Result<Option<Arc<Secrets>>, Status> {
        let Connection { site, guest, .. } = &*self.connection;
        if let Err(denied) = guest.may_have_identity() {
            let status = refusal::denied(&denied);
            guest.denied(What::Identity, &status.message);
            return Err(status);
        }
        let names = Arc::clone(&self.names.borrow_and_update());
        let now = site.hub.judged(self.subscription.now());
        site.sds.secrets(&now, &names, self.plain)
    }

    /// A rotation came to one who had the identity before.
    fn reached(&mut self) {
        if let Now::Alive(edition) = self.subscription.now() {
            self.connection.site.metrics.reached(edition.reached_one());
        }
    }

    fn message(&mut self, answer: &Answer, secrets: &Arc<Secrets>) -> Dated {
        note(&self.connection.guest, answer, &mut self.refused);
        if self.sent == 0 {
            tracing::debug!(kind = S::KIND.word(), node = self.who.id, cluster = self.who.cluster,
                version = &*answer.version, names = ?answer.names(), "first secrets of a stream");
        }
        self.sent += 1;
        self.connection.site.sds.metrics.updated(S::KIND);
        Dated {
            pieces: S::message(answer),
            over: Some(taken_back(&self.connection, answer, secrets)),
        }
    }

    fn refused(&self, refusal: &Refusal) -> Status {
        let status = Status::new(Code::INVALID_ARGUMENT, refusal.to_string());
        self.connection.guest.denied(What::Identity, &status.message);
        status
    }
}

/// The end of what its client does not take of an answer: as long as each of its secrets is the newest, it may follow.
pub(super) fn taken_back<G: Guest>(
    connection: &Arc<Connection<G>>,
    answer: &Answer,
    secrets: &Arc<Secrets>,
) -> Revoked {
    // Not the secrets, likewise not their keys.
    let versions = answer
        .found
        .iter()
        .map(|(name, secret)| (Arc::clone(name), Arc::clone(&secret.version)));
    let versions: Vec<_> = versions.collect();
    let (names, form) = secrets.kind();
    let site = Arc::clone(&connection.site);
    let is_newest = move |newest: &Edition| {
        let newest = site.sds.shelf.take(&newest.identity, &names, form);
        versions
            .iter()
            .all(|(name, version)| newest.find(name).is_ok_and(|secret| secret.version == *version))
    };
    over(connection, secrets.identity(), is_newest)
}

/// Names that a stream was refused, and that are on record: a caller that asks on is not denied anew. No more than one stream may name at a time,
/// and not the names themselves: they may be long, are kept for as long as the stream lives, and nobody would pay for them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    seen: BTreeSet<u64>,
    /// The stream's own, so that no caller can choose names that look like one.
    hasher: RandomState,
}

impl Refused {
    fn is_new(&mut self, name: &str) -> bool {
        self.seen.len() < MOST_NAMES && self.seen.insert(self.hasher.hash_one(name))
    }
}

/// Puts on record what a caller got, and each name that it did not get, once.
pub(super) fn note(guest: &impl Guest, answer: &Answer, refused: &mut Refused) {
    let (mut key, mut bundles) = (false, false);
    for (_, secret) in &answer.found {
        key |= secret.holds_key;
        bundles |= !secret.holds_key;
    }
    for (name, missing) in &answer.missing {
        if refused.is_new(name) {
            guest.denied(What::Identity, &format!("secret {name}: {missing}"));
        }
    }
    if key {
        guest.granted(What::Identity);
    }
    if bundles {
        guest.granted(What::Bundles);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::guest::{Denied, Watch};
    use super::super::secrets::Form;
    use super::super::session::sotw::Sotw;
    use super::super::testing::World;
    use super::*;
    use crate::proto::envoy::service::discovery::v3::DiscoveryRequest;
    use std::sync::{Mutex, Weak};

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    struct Never;

    impl Watch for Never {
        async fn changed(&mut self) {
            std::future::pending::<()>().await;
        }
    }

    impl Guest for Recorder {
        type Watch = Never;

        fn may_have_identity(&self) -> Result<(), Denied> {
            Ok(())
        }

        fn watch(&self) -> Never {
            Never
        }

        fn granted(&self, what: What<'_>) {
            self.0.lock().unwrap().push(format!("granted {what}"));
        }

        fn denied(&self, _: What<'_>, why: &str) {
            let why = why.split(':').next().unwrap_or_default();
            self.0.lock().unwrap().push(format!("denied {why}"));
        }
    }

    #[test]
    fn a_name_that_there_is_not_is_on_record_once_a_stream() {
        let (guest, world) = (Recorder::default(), World::new());
        let mut refused = Refused::default();
        let mut answered = |names: &[&str]| {
            let request = DiscoveryRequest {
                resource_names: names.iter().map(|&name| name.to_owned()).collect(),
                ..Default::default()
            };
            let secrets = world.payments().secrets(Form::Spiffe);
            let outcome = Sotw::default().request(&request, Some(&secrets)).unwrap();
            note(&guest, &outcome.answer.unwrap(), &mut refused);
            std::mem::take(&mut *guest.0.lock().unwrap())
        };
        let granted = "granted X.509 identity";
        assert_eq!(answered(&["default", "no"]), ["denied secret no", granted]);
        assert_eq!(answered(&["default", "no"]), [granted]);
        assert_eq!(
            answered(&["default", "no", "other"]),
            ["denied secret other", granted]
        );
        let names: Vec<_> = (0..100).map(|n| format!("n{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(answered(&names).len(), 100);
        let more: Vec<_> = names.iter().map(|name| format!("more-{name}")).collect();
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        assert_eq!(answered(&more).len(), 26, "of 128 in all");
    }

    #[test]
    fn of_names_that_a_stream_was_refused_no_more_is_held_than_its_user_pays_for() {
        let (guest, world) = (Recorder::default(), World::new());
        let (mut session, mut refused) = (Sotw::default(), Refused::default());
        let secrets = world.payments().secrets(Form::Spiffe);
        let (mut all, mut nonce) = (vec![], String::new());
        for round in 0..4 {
            let long = |n| format!("{round}-{n}-{}", "x".repeat(1900));
            let request = DiscoveryRequest {
                resource_names: (0..15).map(long).chain(["default".to_owned()]).collect(),
                response_nonce: std::mem::take(&mut nonce),
                ..Default::default()
            };
            let outcome = session.request(&request, Some(&secrets)).unwrap();
            let answer = outcome.answer.unwrap();
            assert_eq!(answer.missing.len(), 15);
            note(&guest, &answer, &mut refused);
            all.extend(answer.missing.iter().map(|(name, _)| Arc::downgrade(name)));
            nonce = answer.nonce;
        }
        let held: usize = all.iter().filter_map(Weak::upgrade).map(|name| name.len()).sum();
        assert!(
            held <= session.kept(),
            "{held} bytes, {} paid for",
            session.kept()
        );
    }
}
