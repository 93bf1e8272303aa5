//! Java's own key store format, version 2: `identity.jks` and `truststore.jks`, for programs that take nothing newer.
//!
//! In: a proven identity, the store password, the time. Out: two files that `keytool` reads. The format's protection is
//! a SHA-1 key stream, which is no protection: the file's mode is. Never merges trust domains, never reads a store.
//!
//! Follows the format as the JDK's `JavaKeyStore` and `KeyProtector` describe it.

use super::pkcs12::{ALIAS, roots};
use super::{File, FilesError, secret};
use crate::config::StorePassword;
use crate::random;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY as SHA1};
use mtls_identity::{IdentitySnapshot, UnixTime};
use zeroize::Zeroizing;

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const KEY_ENTRY: u32 = 1;
const TRUSTED_ENTRY: u32 = 2;
const HASH: usize = 20;
/// AlgorithmIdentifier: 1.3.6.1.4.1.42.2.17.1.1 (Sun's key protector) with NULL.
const KEY_PROTECTOR: [u8; 16] = [
    0x30, 0x0E, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x11, 0x01, 0x01, 0x05, 0x00,
];

pub(super) fn files(
    identity: &IdentitySnapshot,
    password: &StorePassword,
    now: UnixTime,
    out: &mut Vec<File>,
) -> Result<(), FilesError> {
    let password = utf16(&password.0);
    let salt = random::bytes::<HASH>()?;
    let key = protect(identity.private_key_pkcs8(), &password, salt);

    let mut store = Store::new(1);
    store.entry(KEY_ENTRY, ALIAS, now);
    store.bytes(&key);
    store.number(identity.chain().len());
    for certificate in identity.chain() {
        store.certificate(certificate);
    }
    out.push(secret("identity.jks", store.finish(&password)));

    let roots = roots(identity);
    let mut store = Store::new(roots.len());
    for (alias, root) in &roots {
        store.entry(TRUSTED_ENTRY, alias, now);
        store.certificate(root);
    }
    out.push(File {
        name: "truststore.jks".to_owned(),
        bytes: store.finish(&password),
        secret: false,
    });
    Ok(())
}

/// A store being written. Everything in it is public or protected.
struct Store(Vec<u8>);

impl Store {
    fn new(entries: usize) -> Self {
        let mut store = Self(Vec::new());
        store.u32(MAGIC);
        store.u32(VERSION);
        store.number(entries);
        store
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// A count or length. Certificates and keys are far below 4 GiB: intake bounds what it reads.
    fn number(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A short ASCII text, for which Java's modified UTF-8 is the same as ASCII.
    fn text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn entry(&mut self, kind: u32, alias: &str, now: UnixTime) {
        self.u32(kind);
        self.text(alias);
        self.0
            .extend_from_slice(&now.as_secs().saturating_mul(1000).to_be_bytes());
    }

    fn certificate(&mut self, der: &[u8]) {
        self.text("X.509");
        self.bytes(der);
    }

    /// The trailing hash lets Java notice a wrong password or a damaged file.
    fn finish(self, password: &[u8]) -> Zeroizing<Vec<u8>> {
        let hash = sha1(&[password, b"Mighty Aphrodite", &self.0]);
        let mut bytes = self.0;
        bytes.extend_from_slice(&hash);
        Zeroizing::new(bytes)
    }
}

/// EncryptedPrivateKeyInfo of Sun's key protector: salt, key xor stream, check hash.
fn protect(key: &[u8], password: &[u8], salt: [u8; HASH]) -> Vec<u8> {
    let mut content = Vec::with_capacity(key.len() + 2 * HASH);
    content.extend_from_slice(&salt);
    let mut stream = Zeroizing::new(salt);
    for block in key.chunks(HASH) {
        *stream = sha1(&[password, &*stream]);
        content.extend(block.iter().zip(stream.iter()).map(|(plain, mask)| plain ^ mask));
    }
    content.extend_from_slice(&sha1(&[password, key]));
    der(0x30, &[&KEY_PROTECTOR[..], &der(0x04, &content)].concat())
}

/// One DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7F) => out.push(short),
        _ => {
            let from = length.iter().position(|b| *b != 0).unwrap_or(0);
            let digits = length.get(from..).unwrap_or_default();
            // At most the 8 bytes of a usize.
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

fn sha1(parts: &[&[u8]]) -> [u8; HASH] {
    let mut hash = digest::Context::new(&SHA1);
    for part in parts {
        hash.update(part);
    }
    let mut out = [0; HASH];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// The password as Java hashes it: UTF-16, high byte first.
fn utf16(password: &str) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(password.len() * 2));
    for unit in password.encode_utf16() {
        out.extend_from_slice(&unit.to_be_bytes());
    }
    out
}
