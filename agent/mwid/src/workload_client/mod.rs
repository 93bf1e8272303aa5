//! The client side of the SPIFFE Workload API, for whatever agent serves it.
//!
//! In: where the API is, and a question. Out: what it answered, in forms that can be proven. Asks once and waits as long as it is told; proves
//! nothing itself, and never puts a part of a message into an error.
//! Follows SPIFFE Workload Endpoint, and SPIFFE Workload API, sections 4 to 6.
mod connect;
mod error;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use error::{AnswerError, ClientError};
pub(crate) use read::{JwtSvid, Svid};

use crate::config::Endpoint;
use crate::grpc::client::{Answers, Connection, Method};
use crate::proto::workload as messages;
use crate::proto::workload_methods as methods;
use mtls_identity::{SpiffeId, TrustBundles};
use prost::Message;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroize;

/// What gRPC's own clients take: an answer may hold the bundles of many trust domains.
const LARGEST: usize = 4 * 1024 * 1024;
/// No web page can send it (SPIFFE Workload Endpoint, section 6.1).
const HEADER: &[(&str, &str)] = &[("workload.spiffe.io", "true")];

/// An open connection to a Workload API.
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Connection,
    until: Instant,
    within: Duration,
}

/// What the agent says of a JWT-SVID.
pub(crate) struct Validated {
    pub(crate) id: String,
    pub(crate) claims: serde_json::Value,
}

impl Client {
    /// Everything that is asked on this connection is answered `within` this time, counted from now.
    pub(crate) async fn open(endpoint: Endpoint, within: Duration) -> Result<Self, ClientError> {
        let until = Instant::now() + within;
        let opened = tokio::time::timeout_at(until, endpoint.connect(LARGEST)).await;
        let connection = opened.unwrap_or_else(|_| {
            Err(ClientError::TimedOut {
                endpoint: endpoint.clone(),
                within,
            })
        })?;
        Ok(Self {
            endpoint,
            connection,
            until,
            within,
        })
    }

    /// All X.509-SVIDs that the caller may have now, the default one first.
    pub(crate) async fn x509(&self) -> Result<Vec<Svid>, ClientError> {
        let answer = self.first(methods::FETCH_X509_SVID, &messages::X509svidRequest {});
        read::svids(answer.await?).map_err(|source| self.unusable(source))
    }

    /// The same, and what they are after each change.
    pub(crate) async fn follow_x509(&self) -> Result<Updates, ClientError> {
        let opened = self
            .connection
            .server_streaming(method(methods::FETCH_X509_SVID), &messages::X509svidRequest {});
        let (answers, first) = self
            .in_time(async {
                let mut answers: Answers<messages::X509svidResponse> = opened.await?;
                let first = answers.next().await?;
                Ok((answers, first))
            })
            .await?;
        Ok(Updates {
            endpoint: self.endpoint.clone(),
            answers,
            first,
        })
    }

    /// All X.509 bundles.
    pub(crate) async fn x509_bundles(&self) -> Result<TrustBundles, ClientError> {
        let answer = self.first(methods::FETCH_X509_BUNDLES, &messages::X509BundlesRequest {});
        read::x509_bundles(&answer.await?).map_err(|source| self.unusable(source))
    }

    /// All JWT bundles.
    pub(crate) async fn jwt_bundles(&self) -> Result<TrustBundles, ClientError> {
        let answer = self.first(methods::FETCH_JWT_BUNDLES, &messages::JwtBundlesRequest {});
        read::jwt_bundles(&answer.await?).map_err(|source| self.unusable(source))
    }

    /// The JWT-SVIDs for these audiences that the caller may have, the default one first; of this ID alone if there is one.
    pub(crate) async fn jwt_svids(
        &self,
        audience: &[String],
        id: Option<&SpiffeId>,
    ) -> Result<Vec<JwtSvid>, ClientError> {
        let question = messages::JwtsvidRequest {
            audience: audience.to_vec(),
            spiffe_id: id.map_or_else(String::new, |id| id.as_str().to_owned()),
        };
        let answer = self.unary(methods::FETCH_JWT_SVID, &question);
        read::jwt_svids(answer.await?).map_err(|source| self.unusable(source))
    }

    /// Whether a JWT-SVID holds for an audience, by the agent's word.
    pub(crate) async fn validate(&self, audience: &str, token: &str) -> Result<Validated, ClientError> {
        let mut question = messages::ValidateJwtsvidRequest {
            audience: audience.to_owned(),
            svid: token.to_owned(),
        };
        let answer = self.unary(methods::VALIDATE_JWT_SVID, &question).await;
        question.svid.zeroize();
        let answer: messages::ValidateJwtsvidResponse = answer?;
        Ok(Validated {
            id: answer.spiffe_id,
            claims: read::claims(answer.claims.unwrap_or_default()),
        })
    }

    /// The first message of a stream, which is the whole state (SPIFFE Workload API, section 4.3).
    async fn first<A: Message + Default>(
        &self,
        path: &'static str,
        question: &impl Message,
    ) -> Result<A, ClientError> {
        self.in_time(async {
            let mut answers = self.connection.server_streaming(method(path), question).await?;
            answers.next().await
        })
        .await?
        .ok_or_else(|| self.unusable(AnswerError::Nothing))
    }

    async fn unary<A: Message + Default>(
        &self,
        path: &'static str,
        question: &impl Message,
    ) -> Result<A, ClientError> {
        self.in_time(self.connection.unary(method(path), question)).await
    }

    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, crate::grpc::client::CallError>>,
    ) -> Result<T, ClientError> {
        let endpoint = || self.endpoint.clone();
        match tokio::time::timeout_at(self.until, asked).await {
            Ok(answer) => answer.map_err(|source| ClientError::Call {
                endpoint: endpoint(),
                source,
            }),
            Err(_) => Err(ClientError::TimedOut {
                endpoint: endpoint(),
                within: self.within,
            }),
        }
    }

    fn unusable(&self, source: AnswerError) -> ClientError {
        ClientError::Answer {
            endpoint: self.endpoint.clone(),
            source,
        }
    }
}

/// The SVID with a hint, without one the default SVID: the first in both cases (SPIFFE Workload API, section 5.2).
pub(crate) fn pick(svids: Vec<Svid>, hint: Option<&str>) -> Result<Svid, AnswerError> {
    let there = svids.iter().map(|svid| svid.hint.clone()).collect();
    let mut svids = svids.into_iter();
    match hint {
        None => svids.next().ok_or(AnswerError::NoSvid),
        Some(hint) => svids
            .find(|svid| svid.hint == hint)
            .ok_or_else(|| AnswerError::Hint {
                wanted: hint.to_owned(),
                there,
            }),
    }
}

/// X.509-SVIDs as they change. Each update is the whole state (SPIFFE Workload API, section 4.3).
pub(crate) struct Updates {
    endpoint: Endpoint,
    answers: Answers<messages::X509svidResponse>,
    /// What came with the opening.
    first: Option<messages::X509svidResponse>,
}

impl Updates {
    /// Waits for the next state, as long as that takes. An update that cannot be used is an error, and the next one may be good; after
    /// [`ClientError::Call`] and [`AnswerError::Nothing`] there is none.
    pub(crate) async fn next(&mut self) -> Result<Vec<Svid>, ClientError> {
        let update = match self.first.take() {
            Some(first) => Some(first),
            None => self.answers.next().await.map_err(|source| ClientError::Call {
                endpoint: self.endpoint.clone(),
                source,
            })?,
        };
        let svids = update.ok_or(AnswerError::Nothing).and_then(read::svids);
        svids.map_err(|source| ClientError::Answer {
            endpoint: self.endpoint.clone(),
            source,
        })
    }
}

const fn method(path: &'static str) -> Method {
    Method {
        metadata: HEADER,
        ..Method::at(path)
    }
}
