//! What systemd's end of the connection is called. In: the name of an abstract socket. Out: the unit and the credential that it says. Never believes
//! it: any process may call itself so. Names no other file, so that tests/fuzz can take it in as it is.

/// Whose credential is asked for, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    pub(crate) unit: &'a str,
    pub(crate) credential: &'a str,
}

/// `RANDOM/unit/UNIT/CREDENTIAL`, the name without its leading NUL: systemd.exec(5), LoadCredential=. The number is written in hexadecimal without
/// leading zeros; units are of services, for nothing else is found again in the control groups.
pub(crate) fn parse(name: &[u8]) -> Option<Asked<'_>> {
    let name = std::str::from_utf8(name).ok()?;
    let mut parts = name.split('/');
    let (random, word, unit, credential) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_number = !random.is_empty()
        && random.len() <= 16
        && random
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let in_unit = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let is_unit = unit
        .strip_suffix(".service")
        .is_some_and(|stem| !stem.is_empty() && stem.bytes().all(in_unit));
    let is_file = !matches!(credential, "" | "." | "..")
        && credential.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    let whole = parts.next().is_none() && word == "unit" && is_number && is_unit && is_file;
    whole.then_some(Asked { unit, credential })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_calls_itself_is_read() {
        for (name, unit, credential) in [
            (
                "f528bc1b4e1e88a7/unit/cred.service/private_key.pem",
                "cred.service",
                "private_key.pem",
            ),
            ("1/unit/a.service/b", "a.service", "b"),
            (
                r"4df/unit/cred@x\x2dy.service/a.b-c",
                r"cred@x\x2dy.service",
                "a.b-c",
            ),
        ] {
            assert_eq!(parse(name.as_bytes()), Some(Asked { unit, credential }));
        }
    }

    #[test]
    fn everything_else_is_not() {
        for name in [
            "",
            "f5/unit/a.service",
            "f5/unit/a.service/",
            "f5/unit/a.service/b/c",
            "f5/unit/a.service/..",
            "f5/unit/a.service/b:c",
            "f5/unit/a.service/b c",
            "f5/unit/a.service/b\n",
            "f5/unit/.service/b",
            "f5/unit/a.socket/b",
            "f5/unit/a b.service/b",
            "f5/unit//b",
            "/unit/a.service/b",
            "F5/unit/a.service/b",
            "0x5/unit/a.service/b",
            "00000000000000001/unit/a.service/b",
            "f5/system/b",
            "f5/unix/a.service/b",
            "\0f5/unit/a.service/b",
            "f5/unit/a.service/b\0",
            " f5/unit/a.service/b",
            "f5/unit/\u{e4}.service/b",
        ] {
            assert_eq!(parse(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(parse(b"f5/unit/a.service/\xff"), None);
    }
}
