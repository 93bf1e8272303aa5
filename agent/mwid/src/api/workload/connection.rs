//! One connection's calls. In: a call. Out: its stream, its message, or why it gets none. Never looks at a call without the header that web pages
//! cannot send, and never waits before it refuses.
use super::Site;
use super::edition::Edition;
use super::feed::{Feed, Subject};
use super::guest::Guest;
use super::jwt;
use super::method::{Method, SERVICE};
use super::refusal;
use super::revoked::{over, revoked};
use super::sds::Sds;
use crate::caller::What;
use crate::grpc::{Answer, Call, Calls, Dated, Status};
use crate::proto::workload::{JwtBundlesRequest, X509BundlesRequest, X509svidRequest};
use hyper::header::HeaderMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// A connection.
pub(super) struct Connection<G> {
    pub(super) site: Arc<Site>,
    pub(super) guest: G,
    /// That are open.
    pub(super) streams: AtomicUsize,
}

static X509_SVID: Subject = Subject {
    method: Method::FetchX509Svid,
    what: What::Identity,
    page: |edition| &edition.x509_svid,
};

static X509_BUNDLES: Subject = Subject {
    method: Method::FetchX509Bundles,
    what: What::Bundles,
    page: |edition| &edition.x509_bundles,
};

const JWT_BUNDLES: Subject = Subject {
    method: Method::FetchJwtBundles,
    what: What::Bundles,
    page: |edition| &edition.jwt_bundles,
};

impl<G: Guest> Connection<G> {
    pub(super) fn new(site: Arc<Site>, guest: G) -> Self {
        Self {
            site,
            guest,
            streams: AtomicUsize::new(0),
        }
    }

    async fn answer(self: &Arc<Self>, method: Method, call: &mut Call) -> Result<Answer, Status> {
        match method {
            Method::FetchX509Svid => {
                call.one::<X509svidRequest>().await?;
                self.stream(&X509_SVID)
            }
            Method::FetchX509Bundles => {
                call.one::<X509BundlesRequest>().await?;
                self.stream(&X509_BUNDLES)
            }
            Method::FetchJwtBundles => {
                call.one::<JwtBundlesRequest>().await?;
                self.stream(&JWT_BUNDLES)
            }
            Method::FetchJwtSvid => {
                let request = call.one().await?;
                let revoked = revoked(self);
                // Who gets none is told at once.
                jwt::ready(&self.site, &self.guest, &request)?;
                let connection = Arc::clone(self);
                let made = async move {
                    let (frame, edition) = jwt::fetch(&connection.site, &connection.guest, &request)?;
                    let generation = edition.identity.generation();
                    let is_newest = move |newest: &Edition| newest.identity.generation() == generation;
                    Ok(Dated {
                        over: Some(over(&connection, &edition.identity, is_newest)),
                        ..frame.into()
                    })
                };
                Ok(Answer::once(made, Some(revoked)))
            }
            Method::ValidateJwtSvid => {
                let request = call.one().await?;
                let frame = jwt::validate(&self.site, &self.guest, request)?;
                Ok(Answer::One(frame))
            }
            Method::FetchWitSvid | Method::FetchWitBundles => {
                Err(refusal::unimplemented("mwid does not serve WIT-SVIDs"))
            }
        }
    }

    fn stream(self: &Arc<Self>, subject: &'static Subject) -> Result<Answer, Status> {
        let feed = Feed::new(subject, Arc::clone(self));
        Ok(Answer::Latest(Box::pin(feed.begin()?)))
    }
}

impl<G: Guest> Calls for Connection<G> {
    fn knows(&self, path: &str) -> bool {
        Method::find(path).is_some() || Sds::knows(path)
    }

    fn is_spent(&self) -> bool {
        self.guest.is_spent()
    }

    async fn call(self: Arc<Self>, mut call: Call) -> Answer {
        if Sds::is_at(call.path()) {
            // Envoy does not send the Workload API's header, and no web page speaks HTTP/2 to a socket of ours.
            return Sds::call(self, call).await;
        }
        let method = Method::find(call.path());
        let answer = match method {
            _ if call.path().starts_with(SERVICE) && !has_header(call.metadata()) => {
                Err(refusal::no_header())
            }
            Some(method) => self.answer(method, &mut call).await,
            None => Err(refusal::unimplemented("mwid has no such method here")),
        };
        answer.unwrap_or_else(|status| {
            let method = method.map_or("other", Method::name);
            self.site.metrics.refused(method, &status);
            Answer::Status(status)
        })
    }
}

/// SPIFFE Workload Endpoint, section 6.1; once, as SPIRE has it.
fn has_header(metadata: &HeaderMap) -> bool {
    let mut values = metadata.get_all("workload.spiffe.io").iter();
    values.next().is_some_and(|value| value == "true") && values.next().is_none()
}
