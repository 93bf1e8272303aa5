//! What is read from the name of a socket is a part of it, and of the form that systemd gives it.
#![no_main]
use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/mwid/src/api/credential/address.rs"]
mod address;

fuzz_target!(|name: &[u8]| {
    if let Some(address::Asked { unit, credential }) = address::parse(name) {
        let rest = format!("/unit/{unit}/{credential}");
        let random = name.strip_suffix(rest.as_bytes()).unwrap();
        assert!((1..=16).contains(&random.len()) && random.iter().all(u8::is_ascii_hexdigit));
        assert!(unit.ends_with(".service") && !unit.contains('/') && unit.is_ascii());
        assert!(!credential.contains('/') && credential != "." && credential != "..");
    }
});
