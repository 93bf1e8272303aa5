//! A unit that is read from a process's control groups is a whole part of its path, below nothing but slices.
#![no_main]
use libfuzzer_sys::fuzz_target;

#[path = "../../../agent/mwid/src/caller/evidence/stat.rs"]
mod stat;
#[path = "../../../agent/mwid/src/caller/evidence/unit/mod.rs"]
mod unit;

fuzz_target!(|text: &[u8]| {
    stat::start_time(text);
    stat::effective_uid(text);
    if let Some(unit) = unit::in_proc_file(text) {
        let is_of = |line: &[u8]| {
            let path = line.splitn(3, |&b| b == b':').nth(2)?;
            (unit::of_path(path)? == unit).then_some(())
        };
        assert!(text.split(|&b| b == b'\n').any(|line| is_of(line).is_some()));
    }
    if let Some(unit) = unit::of_path(text) {
        assert!(unit.len() <= 255 && !unit.starts_with("user@"));
        assert!(unit.ends_with(".service") || unit.ends_with(".scope"));
        assert!(unit.bytes().all(|b| b.is_ascii_graphic() && b != b'/'));
        let at = |part: &[u8]| part.strip_prefix(b"_").unwrap_or(part) == unit.as_bytes();
        let mut parts = text[1..].split(|&b| b == b'/');
        let slices = parts.by_ref().take_while(|part| !at(part));
        assert!(slices.into_iter().all(|part| part.ends_with(b".slice")));
    }
});
