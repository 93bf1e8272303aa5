//! The committed code is what the `.proto` files say.
use super::*;
use std::fs;
use std::path::{Path, PathBuf};

/// A `.proto` file, what prost calls its code, and what we call it.
const FILES: &[(&str, &str, &str)] = &[
    (
        "workload_identity.proto",
        "managed_workload_identity.proto.v1.rs",
        "workload_identity.rs",
    ),
    ("workload.proto", "_.rs", "workload.rs"),
    ("health.proto", "grpc.health.v1.rs", "health.rs"),
    ("reflection.proto", "grpc.reflection.v1.rs", "reflection.rs"),
    (
        SDS,
        "envoy.service.discovery.v3.rs",
        "envoy/service/discovery/v3.rs",
    ),
    (SDS, "google.rpc.rs", "google/rpc.rs"),
    (SECRET, "envoy.config.core.v3.rs", "envoy/config/core/v3.rs"),
    (
        SECRET,
        "envoy.extensions.transport_sockets.tls.v3.rs",
        "envoy/extensions/transport_sockets/tls/v3.rs",
    ),
];

const SDS: &str = "envoy/service/secret/v3/sds.proto";
const SECRET: &str = "envoy/extensions/transport_sockets/tls/v3/secret.proto";

/// Of the services that are served, for server reflection.
const SERVED: &[&str] = &[
    "workload.proto",
    "health.proto",
    "reflection.proto",
    "reflection_v1alpha.proto",
    SDS,
    // What its answers hold as `Any`.
    SECRET,
];

/// Whose code shows what is in a message: nothing that is secret.
const OPEN: &[&str] = &["health.proto", "reflection.proto"];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto")
}

/// Says how to renew a committed file that is not what it should be.
fn compare(made: &Path, committed: &Path, wrong: &mut Vec<String>) {
    if fs::read(committed).ok() != Some(fs::read(made).unwrap()) {
        wrong.push(format!("cp {} {}", made.display(), committed.display()));
    }
}

#[test]
fn the_committed_code_is_that_of_the_proto_files() {
    let out = tempfile::tempdir().unwrap();
    let mut wrong = vec![];
    for (proto, made, committed) in FILES {
        let files = protox::compile([proto], [here()]).unwrap();
        let mut config = prost_build::Config::new();
        config.btree_map(["."]).out_dir(out.path());
        if !OPEN.contains(proto) {
            config.skip_debug(["."]);
        }
        config.compile_fds(files).unwrap();
        compare(&out.path().join(made), &here().join(committed), &mut wrong);
    }
    let made = out.path().join("services.binpb");
    let mut served = protox::compile(SERVED, [here()]).unwrap();
    for file in &mut served.file {
        file.source_code_info = None;
    }
    fs::write(&made, prost::Message::encode_to_vec(&served)).unwrap();
    compare(&made, &here().join("services.binpb"), &mut wrong);
    if !wrong.is_empty() {
        drop(out.keep());
        panic!(
            "the .proto files say something else than the code; renew it:\n{}",
            wrong.join("\n")
        );
    }
}

#[test]
fn the_methods_are_those_of_the_proto_files() {
    let mut all = vec![];
    for proto in FILES.iter().map(|(proto, ..)| proto).chain(SERVED) {
        let files = protox::compile([proto], [here()]).unwrap();
        for file in files.file.iter().filter(|file| file.name() == *proto) {
            for service in &file.service {
                let full = [file.package(), service.name()].join(".");
                let full = full.trim_start_matches('.');
                all.extend(service.method.iter().map(|m| format!("/{full}/{}", m.name())));
            }
        }
    }
    let mut named: Vec<&str> = METHODS.concat();
    all.sort();
    // A file whose code is several files.
    all.dedup();
    named.sort();
    assert_eq!(all, named);
}

#[test]
fn debug_shows_no_key() {
    let message = workload_identity::GetWorkloadCertificatesResponse {
        certificate_chain_pem: vec![],
        private_key_pem: vec![42; 3],
    };
    assert!(!format!("{message:?}").contains("42"));
}
