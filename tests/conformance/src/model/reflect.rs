//! Server reflection of the model: its services, and the methods of the Workload API.
use super::connection::Context;
use super::inbound::{Inbound, decode};
use super::reply::{Refusal, Reply};
use crate::messages::descriptor::{File, Method, Service as Descriptor};
use crate::messages::reflection::{Answer, Error, Files, Question, Request, Response, Service, Services};
use crate::messages::{sds, workload};
use crate::wire::Code;
use prost::Message;

pub(super) async fn answer(
    context: &Context,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    if context.is("endpoint.reflection") {
        return Err(Refusal(Code::UNIMPLEMENTED, "no reflection"));
    }
    while let Some(bytes) = inbound.next().await? {
        let request: Request = decode(bytes)?;
        let answer = match request.question {
            Some(Question::ListServices(_)) => Answer::Services(Services {
                services: [workload::SERVICE, sds::SERVICE]
                    .map(|name| Service {
                        name: name.to_owned(),
                    })
                    .into(),
            }),
            Some(Question::FileContaining(name)) if name == workload::SERVICE => Answer::Files(Files {
                descriptors: vec![descriptor(context).encode_to_vec()],
            }),
            _ => Answer::Error(Error {
                code: 5,
                message: "not found".to_owned(),
            }),
        };
        reply.message(&Response { answer: Some(answer) });
    }
    Ok(())
}

fn descriptor(context: &Context) -> File {
    let extra = context.is("endpoint.not-extended").then_some("FetchEverything");
    let methods = workload::METHODS
        .iter()
        .copied()
        .chain(extra)
        .map(|name| Method {
            name: name.to_owned(),
        })
        .collect();
    File {
        name: "workloadapi.proto".to_owned(),
        package: String::new(),
        services: vec![Descriptor {
            name: workload::SERVICE.to_owned(),
            methods,
        }],
    }
}
