//! Writes the odd certificates of certs-testdata/: `cargo testdata`, from anywhere in the workspace.
//!
//! In: nothing but a source of randomness and the `openssl` program, which makes what rcgen cannot (encrypted keys, an RSA
//! key that is too short). Out: one folder a fault. All of them share one CA and one key, so that a fault is the only
//! difference. Keys and signatures differ with each run; what is good or odd about them does not.
#![expect(clippy::unwrap_used, reason = "a developer's tool: a panic is the report")]

mod bundles;
mod chains;
mod kit;
mod leaves;
mod private_keys;

use kit::Kit;
use std::path::Path;

fn main() {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let kit = Kit::new(out);
    leaves::write(&kit);
    chains::write(&kit);
    private_keys::write(&kit);
    bundles::write(&kit);
}
