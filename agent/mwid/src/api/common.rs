//! What is served on each of our gRPC sockets beside its own API: gRPC's health checking and server reflection.
//!
//! In: a service. Out: the same service with both beside it. Neither asks who the caller is: they tell whether the daemon serves, and what is
//! in the project's source.
use super::health::Health;
use super::reflection;
use crate::grpc::{Answer, Call, Calls, Service};
use crate::http::Holder;
use std::sync::Arc;

/// In bytes: names of services and of messages.
const QUESTION: usize = 4 * 1024;

/// A service with both beside it.
pub(crate) struct Common<S> {
    own: S,
    health: Arc<Health>,
    services: &'static [&'static str],
}

/// One of its connections.
pub(crate) struct Connection<C> {
    own: Arc<C>,
    health: Arc<Health>,
    services: &'static [&'static str],
}

impl<S> Common<S> {
    /// `services` are the full names of all that is served there.
    pub(crate) fn beside(own: S, health: Arc<Health>, services: &'static [&'static str]) -> Self {
        Self {
            own,
            health,
            services,
        }
    }
}

impl<T, S: Service<T>> Service<T> for Common<S> {
    type Connection = Connection<S::Connection>;

    fn connected(&self, stream: &T) -> (Self::Connection, Option<Holder>) {
        let (own, holder) = self.own.connected(stream);
        let connection = Connection {
            own: Arc::new(own),
            health: Arc::clone(&self.health),
            services: self.services,
        };
        (connection, holder)
    }
}

impl<C: Calls> Calls for Connection<C> {
    fn knows(&self, path: &str) -> bool {
        Health::knows(path) || reflection::knows(path) || self.own.knows(path)
    }

    fn is_spent(&self) -> bool {
        self.own.is_spent()
    }

    async fn call(self: Arc<Self>, call: Call) -> Answer {
        match call.path() {
            path if Health::knows(path) => self.health.answer(call.of_at_most(QUESTION)).await,
            path if reflection::knows(path) => reflection::answer(call.of_at_most(QUESTION), self.services),
            _ => Arc::clone(&self.own).call(call).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::client::{CallError, Method};
    use crate::grpc::{Code, Limits, Metrics, Status, serve};
    use crate::health::Board;
    use crate::http::{self, Listener, Stream};
    use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};
    use crate::proto::reflection::{ServerReflectionRequest, ServerReflectionResponse};
    use crate::proto::{health_methods, reflection_methods};
    use tokio_util::sync::CancellationToken;

    /// An API without methods.
    struct Nothing;

    impl Service<Stream> for Nothing {
        type Connection = Self;

        fn connected(&self, _: &Stream) -> (Self, Option<Holder>) {
            (Self, None)
        }
    }

    impl Calls for Nothing {
        fn knows(&self, _: &str) -> bool {
            false
        }

        async fn call(self: Arc<Self>, _: Call) -> Answer {
            Status::new(Code::UNIMPLEMENTED, "there is nothing").into()
        }
    }

    #[tokio::test]
    async fn who_asks_beside_the_api_may_ask_nothing_long() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
        let health = Health::new(Board::new(), mtls_identity::store().1, clock, &["a.B"]);
        tokio::spawn(serve(
            Listener::open_tcp(listener).unwrap(),
            Arc::new(Common::beside(Nothing, health, &["a.B"])),
            Limits::default(),
            Metrics::default().server("test", &http::Metrics::default()),
            stop.clone(),
        ));
        let _stop = stop.drop_guard();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let client = crate::grpc::client::Connection::open(stream, "localhost", 1 << 20);
        let client = client.await.unwrap();
        let name = |length| "x".repeat(length);
        for (length, refused) in [(QUESTION - 16, false), (QUESTION, true)] {
            let asked = HealthCheckRequest {
                service: name(length),
            };
            let method = Method::at(health_methods::WATCH);
            let told = async {
                let asked = client.server_streaming::<HealthCheckResponse>(method, &asked);
                asked.await?.next().await.map(drop)
            };
            is_told_so(told.await, refused);
            let asked = ServerReflectionRequest {
                host: name(length),
                message_request: None,
            };
            let method = Method::at(reflection_methods::INFO);
            let told = async {
                let asked = client.server_streaming::<ServerReflectionResponse>(method, &asked);
                asked.await?.next().await.map(drop)
            };
            is_told_so(told.await, refused);
        }
    }

    #[track_caller]
    fn is_told_so(told: Result<(), CallError>, refused: bool) {
        match told {
            Err(CallError::Refused(status)) => assert!(refused && status.code == Code::RESOURCE_EXHAUSTED),
            other => assert!(!refused && other.is_ok(), "{other:?}"),
        }
    }
}
