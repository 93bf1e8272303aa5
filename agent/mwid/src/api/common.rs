//! What is served on each of our gRPC sockets beside its own API: gRPC's health checking and server reflection.
//!
//! In: a service. Out: the same service with both beside it. Neither asks who the caller is: they tell whether the daemon serves, and what is
//! in the project's source.
use super::health::Health;
use super::reflection;
use crate::grpc::{Answer, Call, Calls, Service};
use crate::http::Holder;
use std::sync::Arc;

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

    async fn call(self: Arc<Self>, call: Call) -> Answer {
        match call.path() {
            path if Health::knows(path) => self.health.answer(call).await,
            path if reflection::knows(path) => reflection::answer(call, self.services),
            _ => Arc::clone(&self.own).call(call).await,
        }
    }
}
