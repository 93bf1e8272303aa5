//! Makes the service from the project's own copy of the standard's file.
fn main() {
    let protos = "../../../agent/mwid/src/proto";
    println!("cargo::rerun-if-changed={protos}/workload.proto");
    let files = protox::compile([format!("{protos}/workload.proto")], [protos]).unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .compile_fds(files)
        .unwrap();
}
