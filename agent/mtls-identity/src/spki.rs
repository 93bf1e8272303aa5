//! A certificate's public key in the forms that checks and JWKs need.

use x509_parser::x509::SubjectPublicKeyInfo;

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]; // id-ecPublicKey, RFC 5480
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]; // rsaEncryption, RFC 8017
const ED25519: &[u8] = &[0x2b, 0x65, 0x70]; // id-Ed25519, RFC 8410
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

/// A public key of a kind that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey<'a> {
    /// An uncompressed point.
    Ec {
        curve: &'static str,
        x: &'a [u8],
        y: &'a [u8],
    },
    /// Both without leading zeros.
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    /// RFC 8032.
    Ed25519(&'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// `None` for a kind that we do not know.
    pub(crate) fn of(spki: &'a SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let key = spki.subject_public_key.data.as_ref();
        match spki.algorithm.algorithm.as_bytes() {
            EC => {
                let (curve, size) = match spki.algorithm.parameters.as_ref()?.as_bytes() {
                    P256 => ("P-256", 32),
                    P384 => ("P-384", 48),
                    P521 => ("P-521", 66),
                    _ => return None,
                };
                let point = key.strip_prefix(&[4])?;
                (point.len() == 2 * size).then(|| {
                    let (x, y) = point.split_at(size);
                    Self::Ec { curve, x, y }
                })
            }
            RSA => {
                let (tag, sequence, []) = crate::der::read(key)? else {
                    return None;
                };
                let (0x02, modulus, rest) = crate::der::read(sequence)? else {
                    return None;
                };
                let (0x02, exponent, []) = crate::der::read(rest)? else {
                    return None;
                };
                let (modulus, exponent) = (unsigned(modulus), unsigned(exponent));
                (tag == 0x30 && !modulus.is_empty() && !exponent.is_empty())
                    .then_some(Self::Rsa { modulus, exponent })
            }
            ED25519 => (key.len() == 32).then_some(Self::Ed25519(key)),
            _ => None,
        }
    }

    /// The size of an RSA modulus.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa {
                modulus: [first, rest @ ..],
                ..
            } => Some(rest.len() * 8 + 8 - first.leading_zeros() as usize),
            _ => None,
        }
    }
}

fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    &integer[zeros..]
}
