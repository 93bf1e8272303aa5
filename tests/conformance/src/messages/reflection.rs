//! grpc.reflection, v1 and v1alpha alike, as far as it is used.

/// Both versions in the order of preference.
pub const METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// `ServerReflectionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// What is asked.
    #[prost(oneof = "Question", tags = "4, 7")]
    pub question: Option<Question>,
}

/// `message_request`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Question {
    /// Which file defines this?
    #[prost(string, tag = "4")]
    FileContaining(String),
    /// Which services are there?
    #[prost(string, tag = "7")]
    ListServices(String),
}

/// `ServerReflectionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// What is answered.
    #[prost(oneof = "Answer", tags = "4, 6, 7")]
    pub answer: Option<Answer>,
}

/// `message_response`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    /// `FileDescriptorProto`s.
    #[prost(message, tag = "4")]
    Files(Files),
    /// The services.
    #[prost(message, tag = "6")]
    Services(Services),
    /// No.
    #[prost(message, tag = "7")]
    Error(Error),
}

/// `FileDescriptorResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Files {
    /// Encoded.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub descriptors: Vec<Vec<u8>>,
}

/// `ListServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Services {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub services: Vec<Service>,
}

/// `ServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    /// With its package.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `ErrorResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Error {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}
