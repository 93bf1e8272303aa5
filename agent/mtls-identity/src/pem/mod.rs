//! PEM (RFC 7468), strict: a block that is cut short or holds anything but base64 is an error, not a gap.
//!
//! In: a whole file. Out: the blocks whose label was asked for. Text between blocks is skipped, as the RFC allows;
//! inside a block nothing is. Errors never quote what a block holds. Buffers are wiped, as they may hold a key.

#[cfg(test)]
mod tests;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

const LINE: usize = 64;
/// Twice what the largest bundle holds.
const MAX_BLOCKS: usize = 512;

/// One block.
pub(crate) struct Block {
    pub(crate) label: String,
    /// Where it begins; the first line is 1.
    pub(crate) line: usize,
    /// RFC 1421 encryption headers were found: `der` is ciphertext.
    pub(crate) encrypted: bool,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Why a text is no PEM. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The text ends, or another block begins, before this block's end line.
    #[error("the {label:?} block of line {line} has no end line; the file was cut short or is being written")]
    NotClosed {
        /// The block's label.
        label: String,
        /// Its first line.
        line: usize,
    },
    /// An end line that closes nothing, or another label than was opened.
    #[error(
        "line {line} ends a block that was not begun; the file's beginning is missing or blocks are mixed up"
    )]
    StrayEnd {
        /// The line.
        line: usize,
    },
    /// Something like a begin or end line, but not one.
    #[error("line {line} begins with five dashes but is neither a begin nor an end line")]
    Marker {
        /// The line.
        line: usize,
    },
    /// Not base64, or base64 that lacks its end.
    #[error("the {label:?} block of line {line} is not whole base64")]
    Base64 {
        /// The block's label.
        label: String,
        /// Its first line.
        line: usize,
    },
    /// More blocks than anybody needs.
    #[error(
        "more than {limit} blocks, the last one begun on line {line}; the file cannot be what it should be"
    )]
    TooMany {
        /// The most that are read.
        limit: usize,
        /// The first line of the first one too many.
        line: usize,
    },
    /// RFC 1421 headers other than those of an encrypted key.
    #[error("the {label:?} block of line {line} has header lines; write it without")]
    Header {
        /// The block's label.
        label: String,
        /// Its first line.
        line: usize,
    },
}

/// An open block. The body has room for all that is before the next marker, so that growing leaves no copy behind.
struct Open {
    label: String,
    line: usize,
    wanted: bool,
    encrypted: bool,
    headers: bool,
    /// A blank line was seen after the body began.
    gap: bool,
    body: Zeroizing<Vec<u8>>,
}

/// The blocks whose label is `wanted`, in order. Other blocks must be closed too, but are not decoded.
pub(crate) fn blocks(pem: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<Block>, PemError> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    let mut next = 0;
    for (number, line) in (1..).zip(pem.split(|byte| *byte == b'\n')) {
        next += line.len() + 1;
        let line = line.trim_ascii_end();
        match (marker(line, number)?, open.take()) {
            (Some(Marker::Begin(label)), None) => {
                let wanted = wanted(&label);
                if wanted && found.len() == MAX_BLOCKS {
                    return Err(PemError::TooMany {
                        limit: MAX_BLOCKS,
                        line: number,
                    });
                }
                let rest = if wanted { pem.get(next..) } else { None };
                open = Some(Open {
                    body: Zeroizing::new(Vec::with_capacity(rest.map_or(0, before_marker))),
                    label,
                    line: number,
                    wanted,
                    encrypted: false,
                    headers: false,
                    gap: false,
                });
            }
            (Some(Marker::End(label)), Some(block)) if label == block.label => {
                if block.wanted {
                    found.push(close(block)?);
                }
            }
            (Some(_), Some(Open { label, line, .. })) => return Err(PemError::NotClosed { label, line }),
            (Some(Marker::End(_)), None) => return Err(PemError::StrayEnd { line: number }),
            (None, Some(mut block)) => {
                block.add(line)?;
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    match open {
        Some(Open { label, line, .. }) => Err(PemError::NotClosed { label, line }),
        None => Ok(found),
    }
}

/// How many bytes come before the next line that begins like a marker. Looks no further, so that many blocks cost no more
/// than one of their length.
fn before_marker(lines: &[u8]) -> usize {
    if lines.starts_with(b"-----") {
        return 0;
    }
    let marker = lines.windows(6).position(|window| window == b"\n-----");
    marker.unwrap_or(lines.len())
}

enum Marker {
    Begin(String),
    End(String),
}

fn marker(line: &[u8], number: usize) -> Result<Option<Marker>, PemError> {
    if !line.starts_with(b"-----") {
        return Ok(None);
    }
    let label = |prefix: &[u8]| {
        let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
        let short = label.len() <= LINE && label.iter().all(|byte| matches!(byte, b' '..=b'~'));
        short.then(|| String::from_utf8_lossy(label).into_owned())
    };
    if let Some(label) = label(b"-----BEGIN ") {
        Ok(Some(Marker::Begin(label)))
    } else if let Some(label) = label(b"-----END ") {
        Ok(Some(Marker::End(label)))
    } else {
        Err(PemError::Marker { line: number })
    }
}

impl Open {
    fn add(&mut self, line: &[u8]) -> Result<(), PemError> {
        if !self.wanted {
            return Ok(());
        }
        if self.body.is_empty() && line.contains(&b':') {
            self.headers = true;
            self.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            return Ok(());
        }
        if line.is_empty() {
            self.gap = !self.body.is_empty();
            return Ok(());
        }
        if self.gap {
            return Err(PemError::Base64 {
                label: self.label.clone(),
                line: self.line,
            });
        }
        self.body.extend_from_slice(line);
        Ok(())
    }
}

fn close(block: Open) -> Result<Block, PemError> {
    let Open {
        label,
        line,
        encrypted,
        headers,
        body,
        ..
    } = block;
    if headers && !encrypted {
        return Err(PemError::Header { label, line });
    }
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(body.len())]);
    match BASE64_STANDARD.decode_slice(body.as_slice(), &mut der) {
        Ok(length) if length > 0 => {
            der.truncate(length);
            Ok(Block {
                label,
                line,
                encrypted,
                der,
            })
        }
        // The cause would quote a symbol of what may be a key.
        Ok(_) | Err(_) => Err(PemError::Base64 { label, line }),
    }
}

/// Writes one block. The text is made in one piece, so that no copy of a key stays behind.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64_length = der.len().div_ceil(3) * 4;
    let mut base64 = Zeroizing::new(vec![0; base64_length]);
    let written = BASE64_STANDARD.encode_slice(der, &mut base64).unwrap_or_default();
    let room = base64_length + base64_length.div_ceil(LINE) + 2 * (label.len() + 20);
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in base64[..written].chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
