//! The endpoint itself: SPIFFE Workload Endpoint, sections 2 to 7.
use super::{Check, Document, Finding, Look, Outcome, fails, holds, must, should, skipped};
use crate::endpoint::Endpoint;
use crate::messages::descriptor::File;
use crate::messages::reflection::{self, Answer, Question};
use crate::messages::workload::{Empty, METHODS, SERVICE};
use crate::seen::{Missing, Reach, Server};
use crate::wire::{Ask, Code, Event};
use prost::Message;

pub(super) const CHECKS: &[Check] = &[
    must(
        "endpoint.plaintext",
        Document::Endpoint,
        "3.1",
        "a client is served without TLS",
        Look::At(plaintext),
    ),
    must(
        "endpoint.grpc",
        Document::Endpoint,
        "3",
        "the endpoint speaks gRPC",
        Look::At(grpc),
    ),
    must(
        "endpoint.no-authentication",
        Document::Endpoint,
        "5",
        "a client is not asked to authenticate itself",
        Look::At(no_authentication),
    ),
    should(
        "endpoint.unix",
        Document::Endpoint,
        "3",
        "a Unix domain socket is preferred",
        Look::At(unix),
    ),
    must(
        "endpoint.workload-api",
        Document::Endpoint,
        "7",
        "every endpoint exposes the Workload API",
        Look::At(workload_api),
    ),
    must(
        "endpoint.unknown-method",
        Document::Endpoint,
        "Appendix A",
        "a method that the server does not have ends with Unimplemented",
        Look::Ask(|s| Box::pin(unimplemented(s, "/SpiffeWorkloadAPI/FetchConformanceSuite"))),
    ),
    must(
        "endpoint.unknown-service",
        Document::Endpoint,
        "Appendix A",
        "a service that the server does not have ends with Unimplemented",
        Look::Ask(|s| Box::pin(unimplemented(s, "/conformance.NoSuchService/FetchX509SVID"))),
    ),
    should(
        "endpoint.reflection",
        Document::Endpoint,
        "7",
        "the endpoint answers gRPC server reflection, and it names the Workload API",
        Look::Ask(|s| Box::pin(reflected(s))),
    ),
    must(
        "endpoint.not-extended",
        Document::Endpoint,
        "7",
        "the service of the Workload API has no methods of others",
        Look::Ask(|s| Box::pin(not_extended(s))),
    ),
];

fn plaintext(server: &Server) -> Outcome {
    match &server.reach {
        Reach::NoPlaintext(why) => fails(why),
        _ => Ok("HTTP/2 over the plain connection".to_owned()),
    }
}

fn grpc(server: &Server) -> Outcome {
    match &server.reach {
        Reach::NotGrpc(end) => fails(format!(
            "HTTP {} with content-type {}, and no gRPC status",
            end.http.unwrap_or_default(),
            end.content_type.as_deref().unwrap_or("none")
        )),
        _ => Ok("a gRPC answer came".to_owned()),
    }
}

fn no_authentication(server: &Server) -> Outcome {
    match &server.reach {
        Reach::Unauthenticated(end) => fails(format!("a call without credentials is told {end}")),
        _ => Ok("served without credentials".to_owned()),
    }
}

fn unix(server: &Server) -> Outcome {
    match &server.options.endpoint {
        Endpoint::Unix(_) => Ok("a Unix domain socket".to_owned()),
        Endpoint::Tcp(address) => fails(format!("TCP, at {address}")),
    }
}

fn workload_api(server: &Server) -> Outcome {
    let missing =
        |result: &Missing| matches!(result, Missing::Ended(end) if end.code == Some(Code::UNIMPLEMENTED));
    let none = server.x509.result.as_ref().is_err_and(missing)
        && server.x509_bundles.result.as_ref().is_err_and(missing)
        && server.jwt.result.as_ref().is_err_and(missing)
        && server.jwt_bundles.result.as_ref().is_err_and(missing);
    holds(!none, "methods of SpiffeWorkloadAPI answer", || {
        "every method of SpiffeWorkloadAPI is Unimplemented".to_owned()
    })
}

async fn unimplemented(server: &Server, path: &'static str) -> Outcome {
    match server.first(Ask::one(path, &Empty {})).await? {
        Event::End(end) if end.code == Some(Code::UNIMPLEMENTED) => Ok(end.to_string()),
        Event::End(end) => fails(format!("told {end}")),
        Event::Message(_) => fails("answered with a message"),
    }
}

/// Asks reflection; the first version that answers does.
async fn reflect(server: &Server, question: Question) -> Result<Answer, Finding> {
    let mut told = String::new();
    for path in reflection::METHODS {
        let mut call = server.call(Ask::open(path)).await?;
        call.send(&reflection::Request {
            question: Some(question.clone()),
        });
        match call.message::<reflection::Response>().await? {
            Ok(reflection::Response { answer: Some(answer) }) => return Ok(answer),
            Ok(_) => told = "an empty answer".to_owned(),
            Err(end) => told = end.to_string(),
        }
    }
    Err(Finding::Fails(format!(
        "neither grpc.reflection.v1 nor v1alpha: {told}"
    )))
}

async fn reflected(server: &Server) -> Outcome {
    match reflect(server, Question::ListServices(String::new())).await? {
        Answer::Services(list) => {
            let names: Vec<&str> = list.services.iter().map(|s| s.name.as_str()).collect();
            holds(names.contains(&SERVICE), names.join(", "), || {
                format!("{SERVICE} is not among {names:?}")
            })
        }
        Answer::Error(why) => fails(why.message),
        Answer::Files(_) => fails("files in place of a list of services"),
    }
}

async fn not_extended(server: &Server) -> Outcome {
    let answer = match reflect(server, Question::FileContaining(SERVICE.to_owned())).await {
        Ok(answer) => answer,
        Err(_) => return skipped("without reflection the methods cannot be listed"),
    };
    let Answer::Files(files) = answer else {
        return skipped(format!("reflection has no file for {SERVICE}"));
    };
    let mut names = vec![];
    for file in &files.descriptors {
        let file = File::decode(file.as_slice()).map_err(crate::wire::Trouble::Message)?;
        let ours = file
            .services
            .iter()
            .filter(|s| file.package.is_empty() && s.name == SERVICE);
        names.extend(ours.flat_map(|s| s.methods.iter().map(|m| m.name.clone())));
    }
    let foreign: Vec<_> = names
        .iter()
        .filter(|name| !METHODS.contains(&name.as_str()))
        .collect();
    if names.is_empty() {
        return skipped(format!("reflection has no methods of {SERVICE}"));
    }
    holds(foreign.is_empty(), format!("{} methods", names.len()), || {
        format!("{foreign:?} are of no standard")
    })
}
