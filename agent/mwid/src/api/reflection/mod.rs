//! gRPC's server reflection on the sockets of our own APIs: tools like grpcurl learn the messages from it.
//!
//! In: the descriptors of all services, as compiled from their `.proto` files; calls. Out: names and descriptors of what is served. Tells nothing
//! that is not in the project's source, so it asks nobody who he is.
mod index;
#[cfg(test)]
mod tests;

use crate::grpc::{Answer, Call, Code, Frame, Status};
use crate::proto::reflection::server_reflection_request::MessageRequest as Asked;
use crate::proto::reflection::server_reflection_response::MessageResponse as Told;
use crate::proto::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use crate::proto::{reflection_methods, reflection_v1alpha_methods};
use futures_util::stream;
use index::{File, Index};
use std::sync::LazyLock;

/// Made when somebody asks for the first time.
static INDEX: LazyLock<Index> = LazyLock::new(|| Index::of(crate::proto::DESCRIPTORS));

pub(crate) fn knows(path: &str) -> bool {
    [reflection_methods::INFO, reflection_v1alpha_methods::INFO].contains(&path)
}

/// So many questions are answered on one stream: a tool that describes everything here asks a tenth of it.
const MOST_QUESTIONS: u32 = 1024;

/// Answers each question of a stream in turn. `services` is what is served where it came from.
pub(crate) fn answer(call: Call, services: &'static [&'static str]) -> Answer {
    let answers = stream::unfold((call.without_head(), 0), move |(mut call, answered)| async move {
        let asked: Result<ServerReflectionRequest, Status> = call.next().await.transpose()?;
        let told = match asked {
            Ok(_) if answered == MOST_QUESTIONS => Err(Status::new(
                Code::RESOURCE_EXHAUSTED,
                format!("{MOST_QUESTIONS} questions were answered on this stream: ask on another"),
            )),
            asked => asked.map(|asked| Frame::of(&respond(asked, services)).into()),
        };
        Some((told, (call, answered + 1)))
    });
    Answer::Each(Box::pin(answers), None)
}

fn respond(asked: ServerReflectionRequest, services: &[&str]) -> ServerReflectionResponse {
    let index = &*INDEX;
    let told = match &asked.message_request {
        Some(Asked::FileByFilename(name)) => files(index.by_name(name), name),
        Some(Asked::FileContainingSymbol(symbol)) => files(index.by_symbol(symbol), symbol),
        // No file here extends a message.
        Some(Asked::FileContainingExtension(extension)) => missing(&extension.containing_type),
        Some(Asked::AllExtensionNumbersOfType(message)) => match index.by_symbol(message) {
            Some(_) => Told::AllExtensionNumbersResponse(ExtensionNumberResponse {
                base_type_name: message.clone(),
                extension_number: vec![],
            }),
            None => missing(message),
        },
        Some(Asked::ListServices(_)) => Told::ListServicesResponse(ListServiceResponse {
            service: services
                .iter()
                .map(|name| ServiceResponse {
                    name: (*name).to_owned(),
                })
                .collect(),
        }),
        None => error(Code::INVALID_ARGUMENT, "nothing was asked".to_owned()),
    };
    ServerReflectionResponse {
        valid_host: asked.host.clone(),
        original_request: Some(asked),
        message_response: Some(told),
    }
}

/// A file and all that it imports.
fn files(file: Option<&File>, name: &str) -> Told {
    match file {
        Some(file) => Told::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: INDEX.with_imports(file),
        }),
        None => missing(name),
    }
}

fn missing(name: &str) -> Told {
    error(Code::NOT_FOUND, format!("nothing here is called {name}"))
}

fn error(code: Code, error_message: String) -> Told {
    Told::ErrorResponse(ErrorResponse {
        error_code: code.number().into(),
        error_message,
    })
}
