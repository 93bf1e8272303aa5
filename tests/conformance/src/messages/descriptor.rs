//! The names in a `FileDescriptorProto`, and no more of it.

/// `FileDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct File {
    /// Path of the file.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The package, empty for the Workload API.
    #[prost(string, tag = "2")]
    pub package: String,
    /// Its services.
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
}

/// `ServiceDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    /// Without its package.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its methods.
    #[prost(message, repeated, tag = "2")]
    pub methods: Vec<Method>,
}

/// `MethodDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Method {
    /// Without the service.
    #[prost(string, tag = "1")]
    pub name: String,
}
