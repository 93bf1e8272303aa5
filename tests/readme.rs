//! Holds the README to what is there: each `cargo test` command in it runs at least one test, and no placeholder is left in it.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of all tests in and under `directory`, with the modules that their files are.
fn names(directory: &Path, module: &str, into: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let inner = format!("{module}{stem}::");
        if path.is_dir() {
            names(&path, &inner, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let inner = if ["mod", "main", "lib"].contains(&stem) {
                module
            } else {
                &inner
            };
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                    into.push(format!("{inner}{}", rest.split('(').next().unwrap()));
                    is_test = false;
                }
            }
        }
    }
}

/// Whether the command, without `cargo test`, runs a test.
fn runs_something(words: &str) -> bool {
    let mut words = words.split_whitespace().take_while(|word| *word != "--");
    let (mut package, mut target, mut filter) = ("mwid", None, "");
    while let Some(word) = words.next() {
        match word {
            "-p" => package = words.next().unwrap(),
            "--test" => target = words.next(),
            "--features" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => filter = word,
        }
    }
    let tests = root().join("tests");
    let mut found = vec![];
    match target {
        None => names(&root().join("agent").join(package).join("src"), "", &mut found),
        Some(name) if tests.join(name).is_dir() => names(&tests.join(name), "", &mut found),
        Some(name) => return filter.is_empty() && tests.join(name).with_extension("rs").exists(),
    }
    found.iter().any(|name| name.contains(filter))
}

#[test]
fn each_test_command_of_the_readme_runs_a_test() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<&str> = text
        .split("`cargo test ")
        .skip(1)
        .map(|rest| rest.split('`').next().unwrap())
        .collect();
    assert!(commands.len() > 5, "{commands:?}");
    let empty: Vec<_> = commands.iter().filter(|words| !runs_something(words)).collect();
    assert!(empty.is_empty(), "these run no test: {empty:?}");
    assert!(!runs_something("-p mwid --test scenarios no_such_name"));
    assert!(!runs_something("-p mwid no_such_name"));
    assert!(!runs_something("-p mwid --test no_such_name"));
}

#[test]
fn no_placeholder_is_left_in_the_readme() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(!text.contains("@@"));
}
