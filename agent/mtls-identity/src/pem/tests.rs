//! Whole and broken PEM.
use super::*;
use proptest::prelude::*;

fn read(pem: &str) -> Result<Vec<(String, Vec<u8>)>, PemError> {
    let blocks = blocks(pem.as_bytes(), |_| true)?;
    Ok(blocks.into_iter().map(|b| (b.label, b.der.to_vec())).collect())
}

const A: &str = "-----BEGIN A-----\nAQID\n-----END A-----\n";

#[test]
fn text_and_blank_lines_between_blocks_are_fine() {
    let pem = format!("Subject: x\n{A}\n\n{}junk", A.replace('\n', "\r\n"));
    assert_eq!(read(&pem).unwrap(), vec![("A".into(), vec![1, 2, 3]); 2]);
    assert_eq!(read("").unwrap(), vec![]);
    assert_eq!(read(A.trim_end()).unwrap().len(), 1);
}

#[test]
fn broken_blocks_are_named() {
    let not_closed = |line| PemError::NotClosed {
        label: "A".into(),
        line,
    };
    let base64 = |line| PemError::Base64 {
        label: "A".into(),
        line,
    };
    for (pem, error) in [
        ("-----BEGIN A-----\nAQID\n", not_closed(1)),
        (
            "-----BEGIN A-----\nAQID\n-----BEGIN A-----\nAQID\n-----END A-----\n",
            not_closed(1),
        ),
        ("-----BEGIN A-----\nAQID\n-----END B-----\n", not_closed(1)),
        ("x\nAQID\n-----END A-----\n", PemError::StrayEnd { line: 3 }),
        ("-----BEGIN A----\n", PemError::Marker { line: 1 }),
        ("\n-----begin A-----\n", PemError::Marker { line: 2 }),
        ("-----BEGIN A-----\nAQI\n-----END A-----\n", base64(1)),
        ("-----BEGIN A-----\nAQ!D\n-----END A-----\n", base64(1)),
        ("-----BEGIN A-----\nAQ==AQID\n-----END A-----\n", base64(1)),
        ("-----BEGIN A-----\nAQID\n\nAQID\n-----END A-----\n", base64(1)),
        ("-----BEGIN A-----\n-----END A-----\n", base64(1)),
        (
            "-----BEGIN A-----\nX: y\n\nAQID\n-----END A-----\n",
            PemError::Header {
                label: "A".into(),
                line: 1,
            },
        ),
    ] {
        assert_eq!(read(pem).unwrap_err(), error, "{pem}");
    }
}

#[test]
fn a_block_that_is_not_wanted_is_skipped_but_must_be_closed() {
    let pem = format!("-----BEGIN B-----\n!!\n-----END B-----\n{A}");
    assert_eq!(blocks(pem.as_bytes(), |label| label == "A").unwrap().len(), 1);
    let cut = format!("{A}-----BEGIN B-----\n");
    assert!(blocks(cut.as_bytes(), |label| label == "A").is_err());
}

#[test]
fn encryption_headers_are_seen() {
    let pem =
        "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END A-----\n";
    assert!(blocks(pem.as_bytes(), |_| true).unwrap()[0].encrypted);
}

#[test]
fn the_number_of_blocks_is_bounded() {
    assert_eq!(read(&A.repeat(MAX_BLOCKS)).unwrap().len(), MAX_BLOCKS);
    let line = 3 * MAX_BLOCKS + 1;
    let limit = MAX_BLOCKS;
    assert_eq!(
        read(&A.repeat(MAX_BLOCKS + 1)).unwrap_err(),
        PemError::TooMany { limit, line }
    );
    let unwanted = blocks(A.repeat(MAX_BLOCKS + 1).as_bytes(), |_| false);
    assert!(unwanted.unwrap().is_empty());
}

#[test]
fn a_block_takes_only_the_room_that_it_needs() {
    assert_eq!(before_marker(b"AQID\nAQID\n-----END A-----\nAQID\n"), 9);
    assert_eq!(before_marker(b"-----END A-----\nAQID\n-----"), 0);
    assert_eq!(
        before_marker(b"AQID-----\nAQID"),
        14,
        "dashes inside a line end nothing"
    );
    assert_eq!(before_marker(b""), 0);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(der in prop::collection::vec(any::<u8>(), 1..400)) {
        let text = encode("A B", &der);
        prop_assert!(text.lines().all(|line| line.len() <= 64));
        prop_assert_eq!(text.capacity() >= text.len(), true);
        prop_assert_eq!(read(&text).unwrap(), vec![("A B".to_owned(), der)]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
        drop(blocks(&bytes, |_| true));
        drop(blocks(&A.as_bytes()[..cut.min(A.len())], |_| true));
    }
}
