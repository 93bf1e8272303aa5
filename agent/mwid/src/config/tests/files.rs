//! Files that are no configuration, texts without end, and bytes at random.
use crate::config::{ConfigError, load, parse};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn refused(path: &Path) -> String {
    crate::report::Causes(&load(path).unwrap_err()).to_string()
}

#[test]
fn what_is_no_readable_regular_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    assert_eq!(
        refused(&path),
        format!(
            "cannot read the configuration {}: No such file or directory (os error 2)",
            path.display()
        )
    );
    assert!(refused(dir.path()).ends_with("is a directory; name a regular file"));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(
        refused(&path).ends_with("is a named pipe; name a regular file"),
        "and does not hang"
    );
    assert!(refused(Path::new("/dev/null")).ends_with("is a device or a socket; name a regular file"));
}

#[test]
fn a_file_that_everybody_may_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, "{}").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let name = path.display();
    assert_eq!(
        refused(&path),
        format!(
            "everybody may write the configuration {name} (mode 0666), and with it name commands that mwid runs; \
             take that away: chmod o-w {name}"
        )
    );
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o664)).unwrap();
    load(&path).unwrap();
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, b"log: {}\n# caf\xe9\n").unwrap();
    assert!(matches!(
        load(&path),
        Err(ConfigError::NotUtf8 {
            line: 2,
            byte: 0xe9,
            ..
        })
    ));
    std::fs::write(&path, b"\xff\xfel\0").unwrap();
    assert!(
        matches!(
            load(&path),
            Err(ConfigError::NotUtf8 {
                line: 1,
                byte: 0xff,
                ..
            })
        ),
        "UTF-16"
    );
}

#[test]
fn too_much_is_refused_in_bounded_time() {
    let name = Path::new("f.yaml");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, "# ".to_owned() + &"x".repeat(1 << 20)).unwrap();
    assert!(matches!(
        load(&path),
        Err(ConfigError::TooLong { limit: 1_048_576, .. })
    ));
    assert!(matches!(
        parse(&" ".repeat((1 << 20) + 1), name),
        Err(ConfigError::TooLong { .. })
    ));

    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        laughs += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    let long = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 50_000].join(", ")
    );
    let deep = "[".repeat(20_000);
    let wide = format!("[{}]", "a,".repeat(500_000));
    for (text, wanted) in [
        (laughs, "more values than any configuration has"),
        (long, "more values than any configuration has"),
        (deep, "maps and lists nested too deep"),
        (wide, "more values than any configuration has"),
        ("a: &a [*a]".to_owned(), "an anchor inside itself"),
    ] {
        let start = Instant::now();
        let error = parse(&text, name).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?} for {}",
            start.elapsed(),
            &text[..20]
        );
    }
}

/// Words of the format in any order reach deeper than bytes at random.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "identity",
        "source",
        "guest_agent",
        "poll",
        "publish",
        "files",
        "then",
        "run",
        "api",
        "admin",
        "listen",
        "log",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    - ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "!t ",
        "---\n",
        "...\n",
        "? ",
        "~",
        "30s",
        "0640",
        "|\n",
        ">\n",
        "#",
        "%YAML 1.2\n",
        "<<",
        "\t",
        "off",
        "\u{feff}",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        drop(parse(&text, Path::new("f.yaml")));
    }

    #[test]
    fn no_soup_of_its_words_makes_it_panic(text in soup()) {
        if let Err(error) = parse(&text, Path::new("f.yaml")) {
            let line = error.to_string();
            prop_assert!(!line.contains("raised by mwid"), "{line}");
            prop_assert!(!line.chars().any(|c| c.is_control() && c != '\n'), "{line:?}");
        }
    }

    #[test]
    fn no_bytes_in_a_file_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        drop(load(file.path()));
    }
}

#[test]
fn every_example_loads() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut loaded = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        // Envoy's own config is tried by tests/interop/envoy.
        let is_ours = path.extension().is_some_and(|extension| extension == "yaml")
            && !path.ends_with("envoy-sds.yaml");
        if is_ours {
            load(&path).unwrap_or_else(|error| panic!("{error}"));
            loaded += 1;
        }
    }
    assert!(loaded >= 5, "only {loaded} examples were found");
}
