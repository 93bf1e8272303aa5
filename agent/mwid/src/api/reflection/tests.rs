//! What a tool needs to know is there.
use super::*;
use prost::Message;
use prost_types::FileDescriptorProto;

const SERVICES: &[&str] = &["SpiffeWorkloadAPI", "grpc.health.v1.Health"];

fn ask(question: Asked) -> Told {
    let asked = ServerReflectionRequest {
        host: "h".to_owned(),
        message_request: Some(question),
    };
    let told = respond(asked.clone(), SERVICES);
    assert_eq!(
        (told.valid_host.as_str(), told.original_request),
        ("h", Some(asked))
    );
    told.message_response.unwrap()
}

/// The names of the files, the one that was asked for first.
fn names(told: &Told) -> Vec<String> {
    let Told::FileDescriptorResponse(files) = told else {
        panic!("{told:?}");
    };
    let files = files.file_descriptor_proto.iter();
    let files = files.map(|bytes| FileDescriptorProto::decode(&bytes[..]).unwrap());
    files.map(|file| file.name().to_owned()).collect()
}

#[test]
fn every_name_leads_to_its_file_with_all_that_it_imports() {
    let workload = ["workload.proto", "google/protobuf/struct.proto"];
    for symbol in [
        "SpiffeWorkloadAPI",
        ".SpiffeWorkloadAPI",
        "SpiffeWorkloadAPI.FetchX509SVID",
        "X509SVID",
        "X509SVID.x509_svid_key",
        "X509SVIDResponse.FederatedBundlesEntry",
    ] {
        assert_eq!(names(&ask(Asked::FileContainingSymbol(symbol.into()))), workload);
    }
    for (symbol, file) in [
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "health.proto"),
        ("grpc.health.v1.HealthCheckResponse.SERVING", "health.proto"),
        ("grpc.reflection.v1.ServerReflection", "reflection.proto"),
        (
            "grpc.reflection.v1alpha.ServerReflection",
            "reflection_v1alpha.proto",
        ),
        ("google.protobuf.Value", "google/protobuf/struct.proto"),
        (
            "envoy.service.secret.v3.SecretDiscoveryService",
            "envoy/service/secret/v3/sds.proto",
        ),
    ] {
        assert_eq!(names(&ask(Asked::FileContainingSymbol(symbol.into())))[0], file);
        assert_eq!(names(&ask(Asked::FileByFilename(file.into())))[0], file);
    }
}

#[test]
fn every_import_of_every_file_is_there() {
    let set = prost_types::FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap();
    for file in &set.file {
        let told = names(&ask(Asked::FileByFilename(file.name().into())));
        for import in &file.dependency {
            assert!(told.contains(import), "{} needs {import}", file.name());
        }
    }
}

#[test]
fn what_is_not_there_is_told_as_such() {
    for (question, code) in [
        (Asked::FileContainingSymbol("No".into()), 5),
        (Asked::FileByFilename("../workload.proto".into()), 5),
        (Asked::AllExtensionNumbersOfType("No".into()), 5),
        (Asked::FileContainingExtension(Default::default()), 5),
    ] {
        let Told::ErrorResponse(error) = ask(question.clone()) else {
            panic!("{question:?}");
        };
        assert_eq!(error.error_code, code);
    }
    let nothing = respond(ServerReflectionRequest::default(), SERVICES);
    assert!(matches!(nothing.message_response, Some(Told::ErrorResponse(e)) if e.error_code == 3));
    let none = ask(Asked::AllExtensionNumbersOfType("X509SVID".into()));
    assert!(matches!(none, Told::AllExtensionNumbersResponse(n) if n.extension_number.is_empty()));
    let Told::ListServicesResponse(list) = ask(Asked::ListServices("*".into())) else {
        panic!();
    };
    let list: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(list, SERVICES);
}
