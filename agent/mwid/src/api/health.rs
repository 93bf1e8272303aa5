//! gRPC's health checking on the sockets of our own APIs.
//!
//! In: the board, the identity, the time; calls. Out: whether this daemon is good enough to serve, by the word of `/readyz`, once or at each
//! change. Tells nobody why not: that is for the operator.
//! Follows gRPC's "GRPC Health Checking Protocol".
use crate::grpc::{Answer, Call, Code, Dated, Frame, Status};
use crate::health::Board;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use crate::proto::health_methods as methods;
use futures_util::{Stream, TryStreamExt as _, stream};
use mtls_identity::{Clock, Reader};
use std::sync::Arc;
use std::time::Duration;

/// What the answers are made of.
pub(crate) struct Health {
    board: Board,
    identity: Reader,
    clock: Clock,
    /// Who can be asked about by name, all of them as ready as the whole.
    services: &'static [&'static str],
}

/// Who watches is told of the end of an identity this late at most if nothing else happens: the part that watches it hangs then.
const LOOK: Duration = Duration::from_secs(30);

impl Health {
    pub(crate) fn new(
        board: Board,
        identity: Reader,
        clock: Clock,
        services: &'static [&'static str],
    ) -> Arc<Self> {
        Arc::new(Self {
            board,
            identity,
            clock,
            services,
        })
    }

    pub(crate) fn knows(path: &str) -> bool {
        [methods::CHECK, methods::LIST, methods::WATCH].contains(&path)
    }

    pub(crate) async fn answer(self: &Arc<Self>, mut call: Call) -> Answer {
        match call.path() {
            methods::CHECK => call.one().await.and_then(|asked| self.check(&asked)).into(),
            methods::LIST => call.one().await.map(|asked| self.list(asked)).into(),
            methods::WATCH => match call.one().await {
                Ok(asked) => Answer::Latest(Box::pin(self.watch(&asked).map_ok(Dated::from))),
                Err(status) => status.into(),
            },
            _ => Status::new(Code::UNIMPLEMENTED, "grpc.health.v1.Health has no such method").into(),
        }
    }

    fn check(&self, asked: &HealthCheckRequest) -> Result<Frame, Status> {
        match self.status(&asked.service) {
            ServingStatus::ServiceUnknown => {
                let text = "nothing of that name is served here; an empty name asks about the whole";
                Err(Status::new(Code::NOT_FOUND, text))
            }
            status => Ok(frame(status)),
        }
    }

    fn list(&self, _: HealthListRequest) -> Frame {
        let names = [""].iter().chain(self.services);
        let statuses = names.map(|name| (String::from(*name), response(self.status(name))));
        Frame::of(&HealthListResponse {
            statuses: statuses.collect(),
        })
    }

    /// The status now, and each one that differs from the one before.
    fn watch(
        self: &Arc<Self>,
        asked: &HealthCheckRequest,
    ) -> impl Stream<Item = Result<Frame, Status>> + use<> {
        // Not the name as it came, which its client may make long.
        let is_known = self.is_known(&asked.service);
        let health = Arc::clone(self);
        let changes = self.board.subscribe();
        let told = None;
        stream::unfold(
            (health, changes, told),
            move |(health, mut changes, told)| async move {
                loop {
                    changes.mark_unchanged();
                    let status = health.status_of(is_known);
                    if told != Some(status) {
                        return Some((Ok(frame(status)), (health, changes, Some(status))));
                    }
                    // The board lives as long as its subscribers here: a wait ends by a change or by the time.
                    drop(tokio::time::timeout(LOOK, changes.changed()).await);
                }
            },
        )
    }

    fn status(&self, service: &str) -> ServingStatus {
        self.status_of(self.is_known(service))
    }

    fn is_known(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }

    fn status_of(&self, is_known: bool) -> ServingStatus {
        match is_known {
            false => ServingStatus::ServiceUnknown,
            true if self.is_ready() => ServingStatus::Serving,
            true => ServingStatus::NotServing,
        }
    }

    /// A clock that cannot tell the time proves nothing valid.
    fn is_ready(&self) -> bool {
        let is_over = |not_after| self.clock.current_time().is_none_or(|now| now > not_after);
        self.board.is_ready()
            && !self
                .identity
                .current()
                .is_some_and(|identity| is_over(identity.not_after()))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn frame(status: ServingStatus) -> Frame {
    Frame::of(&response(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Condition;
    use futures_util::StreamExt;
    use prost::Message;
    use std::sync::Mutex;

    #[derive(Debug)]
    struct Set(Arc<Mutex<u64>>);

    impl rustls::time_provider::TimeProvider for Set {
        fn current_time(&self) -> Option<mtls_identity::UnixTime> {
            let since = Duration::from_secs(*self.0.lock().unwrap());
            Some(mtls_identity::UnixTime::since_unix_epoch(since))
        }
    }

    fn health(now: u64) -> (Arc<Health>, Board, mtls_identity::Writer, Arc<Mutex<u64>>) {
        let (board, now) = (Board::new(), Arc::new(Mutex::new(now)));
        let (writer, reader) = mtls_identity::store();
        let clock = Arc::new(Set(Arc::clone(&now)));
        let health = Health::new(board.clone(), reader, clock, &["a.B"]);
        (health, board, writer, now)
    }

    fn status(frame: &Frame) -> ServingStatus {
        HealthCheckResponse::decode(frame.message()).unwrap().status()
    }

    fn asked(service: &str) -> HealthCheckRequest {
        let service = service.to_owned();
        HealthCheckRequest { service }
    }

    #[test]
    fn who_is_ready_serves_and_a_name_that_is_not_served_is_not_found() {
        let (health, board, ..) = health(0);
        let part = board.part("x");
        for (condition, expected) in [
            (Condition::NotReady("no".to_owned()), ServingStatus::NotServing),
            (Condition::Degraded("so so".to_owned()), ServingStatus::Serving),
            (Condition::Ok, ServingStatus::Serving),
        ] {
            part.set(condition);
            for service in ["", "a.B"] {
                assert_eq!(status(&health.check(&asked(service)).unwrap()), expected);
            }
            let list = HealthListResponse::decode(health.list(HealthListRequest {}).message()).unwrap();
            assert_eq!(list.statuses.into_keys().collect::<Vec<_>>(), ["", "a.B"]);
        }
        let refused = health.check(&asked("a.b")).unwrap_err();
        assert_eq!(refused.code, Code::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_watches_is_told_of_changes_alone() {
        let (health, board, ..) = health(0);
        let mut watch = Box::pin(health.watch(&asked("")));
        let mut unknown = Box::pin(health.watch(&asked("x")));
        let next = unknown.next().await.unwrap().unwrap();
        assert_eq!(status(&next), ServingStatus::ServiceUnknown);
        assert_eq!(
            status(&watch.next().await.unwrap().unwrap()),
            ServingStatus::Serving
        );
        let part = board.part("x");
        assert_eq!(
            status(&watch.next().await.unwrap().unwrap()),
            ServingStatus::NotServing
        );
        part.set(Condition::NotReady("another reason".to_owned()));
        let quiet = tokio::time::timeout(Duration::from_secs(1000), watch.next()).await;
        assert!(quiet.is_err(), "nothing changed");
        part.set(Condition::Ok);
        assert_eq!(
            status(&watch.next().await.unwrap().unwrap()),
            ServingStatus::Serving
        );
        let quiet = tokio::time::timeout(Duration::from_secs(1000), unknown.next()).await;
        assert!(quiet.is_err(), "the call goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn an_identity_that_is_over_is_no_health_whoever_watches_it_or_not() {
        let world = testkit::pki::World::new("example.org");
        let leaf = world.leaf("/a");
        let candidate = mtls_identity::Candidate {
            certificates_pem: leaf.chain_pem.into_bytes().into(),
            private_key_pem: leaf.key_pem.into_bytes().into(),
            bundles: mtls_identity::candidate::CandidateBundles::OwnPem(world.root.cert_pem.into_bytes()),
        };
        let prover = mtls_identity::Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let real =
            rustls::time_provider::TimeProvider::current_time(&rustls::time_provider::DefaultTimeProvider);
        let identity = prover.prove(&candidate, real.unwrap()).unwrap();
        let end = identity.not_after().as_secs();
        let (health, _board, mut writer, now) = health(end);
        drop(writer.publish(identity));
        let mut watch = Box::pin(health.watch(&asked("")));
        assert_eq!(
            status(&watch.next().await.unwrap().unwrap()),
            ServingStatus::Serving
        );
        *now.lock().unwrap() = end + 1;
        assert_eq!(
            status(&watch.next().await.unwrap().unwrap()),
            ServingStatus::NotServing
        );
    }
}
