//! The manifest of a generation: what its files were made from, and what each must hold.
//!
//! In: a fingerprint and files, or a manifest's text. Out: the other. A directory without a whole manifest was never
//! finished. Never holds a key: hashes of high-entropy bytes only, in a file that mwid alone reads.

use crate::files::File;
use aws_lc_rs::digest;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The manifest's own name; programs that read whole directories skip names with a dot.
pub(super) const NAME: &str = ".manifest";

/// What one file must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) secret: bool,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// What a generation's directory must hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    fingerprint: String,
    /// When the identity expires, in seconds since 1970.
    pub(super) until: u64,
    pub(super) files: BTreeMap<String, Entry>,
}

impl Manifest {
    pub(super) fn of(fingerprint: &[u8; 32], until: u64, files: &[File]) -> Self {
        let entry = |file: &File| Entry {
            secret: file.secret,
            size: file.bytes.len() as u64,
            sha256: sha256(&file.bytes),
        };
        Self {
            fingerprint: hex(fingerprint),
            until,
            files: files
                .iter()
                .map(|file| (file.name.clone(), entry(file)))
                .collect(),
        }
    }

    /// `None` for anything that is not a whole manifest of this layout.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut lines = text.strip_suffix("end\n")?.lines();
        let (fingerprint, until) = lines.next()?.strip_prefix("made from ")?.split_once(" until ")?;
        let (fingerprint, until) = (fingerprint.to_owned(), until.parse().ok()?);
        let mut files = BTreeMap::new();
        for line in lines {
            let mut words = line.splitn(4, ' ');
            let secret = match words.next()? {
                "key" => true,
                "public" => false,
                _ => return None,
            };
            let size = words.next()?.parse().ok()?;
            let sha256 = words.next()?.to_owned();
            let entry = Entry { secret, size, sha256 };
            files.insert(words.next()?.to_owned(), entry);
        }
        Some(Self {
            fingerprint,
            until,
            files,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut out = format!("made from {} until {}\n", self.fingerprint, self.until);
        for (name, entry) in &self.files {
            let word = if entry.secret { "key" } else { "public" };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{word} {} {} {name}", entry.size, entry.sha256);
        }
        out.push_str("end\n");
        out
    }

    pub(super) fn is_from(&self, fingerprint: &[u8; 32]) -> bool {
        self.fingerprint == hex(fingerprint)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn a_manifest_survives_the_way_to_disk_and_a_cut_one_is_none() {
        let file = |name: &str, secret| File {
            name: name.to_owned(),
            bytes: Zeroizing::new(name.as_bytes().to_vec()),
            secret,
        };
        let manifest = Manifest::of(&[7; 32], 1_800_000_000, &[file("a", true), file("b c", false)]);
        let text = manifest.text();
        assert_eq!(Manifest::parse(text.as_bytes()), Some(manifest));
        for cut in 0..text.len() {
            assert_eq!(
                Manifest::parse(&text.as_bytes()[..cut]),
                None,
                "cut to {cut} bytes"
            );
        }
    }

    #[test]
    fn a_manifest_knows_what_it_was_made_from() {
        let manifest = Manifest::of(&[7; 32], 0, &[]);
        assert!(manifest.is_from(&[7; 32]));
        assert!(!manifest.is_from(&[8; 32]));
    }
}
