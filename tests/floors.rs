//! Holds the floors rule (ARCHITECTURE.md): a room names only rooms on lower floors and its own children, never a neighbour, never
//! upward. Reads every source file of the daemon and fails on each break, with file and line.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its floor. A room that is missing here fails the test: give it a floor first.
const FLOORS: &[(u8, &[&str])] = &[
    (
        0,
        &[
            "backoff", "clock", "shutdown", "random", "report", "health", "http", "jwt", "proto",
        ],
    ),
    (1, &["config", "telemetry", "grpc"]),
    (2, &["files", "metadata", "units", "workload_client"]),
    (3, &["source", "tokens", "caller"]),
    (4, &["publish", "api", "token_server", "proxy"]),
    (5, &["dev"]),
    (6, &["app"]),
    (7, &["cli"]),
];

fn floors() -> BTreeMap<&'static str, u8> {
    FLOORS
        .iter()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, *floor)))
        .collect()
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The rooms that one line names: the first part of each `crate::room` path, also in `use crate::{a, b::c}` on one line.
fn rooms_named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let word = |s: &str| {
        s.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut named = vec![];
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(split_top_level(group).into_iter().map(|part| word(part.trim()))),
            None => named.push(word(rest)),
        }
    }
    named.retain(|room| !room.is_empty());
    named
}

/// Splits `a, b::{c, d}}` at the commas of its own level.
fn split_top_level(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_i32, 0, vec![]);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return [parts, vec![&group[from..i]]].concat(),
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[from..]);
    parts
}

/// Joins statements that rustfmt broke over lines (`use crate::{` … `};`), keeping the number of their first line.
fn statements(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = vec![];
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if open && let Some(last) = out.last_mut() {
            last.1.push_str(line.trim());
        } else {
            out.push((number + 1, line.to_owned()));
        }
        let code = line.split("//").next().unwrap_or_default();
        open = if open {
            !code.contains(';')
        } else {
            code.contains("use crate::{") && !code.contains(';')
        };
    }
    out
}

#[test]
fn a_room_names_only_rooms_on_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors();
    let mut files = vec![];
    rust_files(&src, &mut files);
    assert!(
        files.len() > 15,
        "only {} files read: the test looks in the wrong place",
        files.len()
    );
    let mut breaks = vec![];
    for file in &files {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        // Tests may look at what stands above: `tests.rs`, and what is in a folder of that name.
        let is_test = inside
            .components()
            .any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs");
        if room == "main" || is_test {
            continue;
        }
        let Some(floor) = floors.get(room) else {
            breaks.push(format!(
                "{}: room `{room}` has no floor: give it one in tests/floors.rs",
                inside.display()
            ));
            continue;
        };
        for (number, statement) in statements(&fs::read_to_string(file).unwrap()) {
            for named in rooms_named(&statement) {
                match floors.get(named.as_str()) {
                    Some(_) if named == room => {}
                    Some(other) if other < floor => {}
                    Some(other) => breaks.push(format!(
                        "{}:{number}: `{room}` (floor {floor}) names `{named}` (floor {other})",
                        inside.display()
                    )),
                    None => breaks.push(format!("{}:{number}: `{named}` has no floor", inside.display())),
                }
            }
        }
    }
    assert!(
        breaks.is_empty(),
        "the floors rule is broken:\n{}",
        breaks.join("\n")
    );
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    assert_eq!(rooms_named("use crate::health::Board;"), ["health"]);
    assert_eq!(
        rooms_named("use crate::{health::{self, Board}, report};"),
        ["health", "report"]
    );
    assert_eq!(
        rooms_named("let x = crate::app::run(crate::cli::args());"),
        ["app", "cli"]
    );
    assert!(rooms_named("// see crate::cli").is_empty());
    let broken = "use crate::{\n    api::admin,\n    report,\n};\nfn f() {}\n#[cfg(test)]\nuse crate::cli;\n";
    let all: Vec<_> = statements(broken)
        .iter()
        .flat_map(|(_, s)| rooms_named(s))
        .collect();
    assert_eq!(all, ["api", "report"]);
}

#[test]
fn files_stay_small() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mtls-identity/src");
    let mut files = vec![];
    rust_files(&src, &mut files);
    rust_files(&library, &mut files);
    let mut sizes: Vec<(usize, PathBuf)> = files.into_iter().map(|f| (code_lines(&f), f)).collect();
    sizes.sort();
    let median = sizes[sizes.len() / 2].0;
    let large: Vec<_> = sizes.iter().filter(|(lines, _)| *lines > 400).collect();
    println!(
        "{} files, median {median} code lines, largest {:?}",
        sizes.len(),
        sizes.last()
    );
    assert!(
        large.is_empty(),
        "over 400 code lines, so two rooms in one: {large:?}"
    );
    assert!(median <= 150, "the median file has {median} code lines, over 150");
}

/// Lines of a file that are neither blank, nor comment, nor test.
fn code_lines(file: &Path) -> usize {
    if file.file_name().is_some_and(|n| n == "tests.rs")
        || file.components().any(|c| c.as_os_str() == "tests")
    {
        return 0;
    }
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(str::trim)
        .take_while(|l| *l != "#[cfg(test)]")
        .filter(|l| !l.is_empty() && !l.starts_with("//"))
        .count()
}
