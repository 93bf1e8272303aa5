//! The floor: a Workload API of fixed bytes on tonic. `workload-floor SOCKET CHAIN KEY BUNDLE` (lengths); each line on standard input is a rotation.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark: a panic is its report")]

use api::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use api::*;
use std::pin::Pin;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

mod api {
    tonic::include_proto!("_");
}

struct Api(watch::Receiver<X509svidResponse>);

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for Api {
    type FetchX509SVIDStream = Messages<X509svidResponse>;
    type FetchX509BundlesStream = Messages<X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<JwtBundlesResponse>;
    type FetchWITSVIDStream = Messages<WitsvidResponse>;
    type FetchWITBundlesStream = Messages<WitBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        _: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        Ok(Response::new(Box::pin(WatchStream::new(self.0.clone()).map(Ok))))
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_jwtsvid(&self, _: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_witsvid(
        &self,
        _: Request<WitsvidRequest>,
    ) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn fetch_wit_bundles(
        &self,
        _: Request<WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().unwrap();
    let mut length = || arguments.next().unwrap().parse().unwrap();
    let message = X509svidResponse {
        svids: vec![X509svid {
            spiffe_id: "spiffe://example.org/floor".to_owned(),
            x509_svid: vec![1; length()],
            x509_svid_key: vec![2; length()],
            bundle: vec![3; length()],
            hint: String::new(),
        }],
        ..Default::default()
    };
    let (rotate, rotated) = watch::channel(message);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            rotate.send_modify(|message| message.svids[0].x509_svid[0] ^= 1);
        }
        std::process::exit(0);
    });
    let listener = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    tonic::transport::Server::builder()
        .add_service(SpiffeWorkloadApiServer::new(Api(rotated)))
        .serve_with_incoming(listener)
        .await
        .unwrap();
}
