//! The committed code is what the `.proto` files say.
use super::workload_identity_methods as methods;
use std::fs;
use std::path::Path;

#[test]
fn the_committed_messages_are_those_of_the_proto_file() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto");
    let files = protox::compile(["workload_identity.proto"], [&here]).unwrap();
    for (service, path) in files.file[0].service.iter().flat_map(|service| {
        service.method.iter().map(|method| {
            let path = format!(
                "/{}.{}/{}",
                files.file[0].package(),
                service.name(),
                method.name()
            );
            (service.name(), path)
        })
    }) {
        assert_eq!(service, "WorkloadIdentity");
        assert!(
            [
                methods::GET_WORKLOAD_CERTIFICATES,
                methods::GET_WORKLOAD_TRUST_BUNDLES
            ]
            .contains(&path.as_str()),
            "{path}"
        );
    }
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .skip_debug(["."])
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    let made = fs::read_to_string(out.path().join("managed_workload_identity.proto.v1.rs")).unwrap();
    let committed = here.join("workload_identity.rs");
    if fs::read_to_string(&committed).is_ok_and(|text| text == made) {
        return;
    }
    let kept = out.keep().join("managed_workload_identity.proto.v1.rs");
    panic!(
        "the .proto file says something else than the code; renew it: cp {} {}",
        kept.display(),
        committed.display()
    );
}

#[test]
fn debug_shows_no_key() {
    let message = super::workload_identity::GetWorkloadCertificatesResponse {
        certificate_chain_pem: vec![],
        private_key_pem: vec![42; 3],
    };
    assert!(!format!("{message:?}").contains("42"));
}
