//! The door: who comes. In: a connection. Out: its caller, attested before a byte is read, and whose share of the places it takes.
use super::Site;
use super::connection::Connection;
use crate::caller::{Access, Visitor};
use crate::grpc::Service;
use crate::http::{Holder, Stream};
use std::sync::Arc;

/// Meets connections.
pub(super) struct Door {
    site: Arc<Site>,
    access: Access,
    listener: &'static str,
}

impl Door {
    pub(super) fn new(site: Arc<Site>, access: Access, listener: &'static str) -> Self {
        Self {
            site,
            access,
            listener,
        }
    }
}

impl Service<Stream> for Door {
    type Connection = Connection<Visitor>;

    fn connected(&self, stream: &Stream) -> (Self::Connection, Option<Holder>) {
        let (visitor, holder) = self.access.meet(stream, self.listener);
        (Connection::new(Arc::clone(&self.site), visitor), holder)
    }
}
