//! What is asked for. In: the command line. Out: a path below `/computeMetadata/v1/`, with its query.
use crate::cli::args::{IdArgs, TokenFormat};
use crate::cli::{Exit, Failure};

const ACCOUNT: &str = "instance/service-accounts/default";

pub(super) fn access(scopes: &[String]) -> String {
    if scopes.is_empty() {
        return format!("{ACCOUNT}/token");
    }
    format!("{ACCOUNT}/token?scopes={}", encoded(&scopes.join(",")))
}

pub(super) fn id(args: &IdArgs) -> Result<String, Failure> {
    let mut path = format!("{ACCOUNT}/identity?audience={}", encoded(&args.audience));
    match (args.format, args.licenses) {
        (TokenFormat::Standard, false) => path.push_str("&format=standard"),
        (TokenFormat::Full, false) => path.push_str("&format=full"),
        (TokenFormat::Full, true) => path.push_str("&format=full&licenses=TRUE"),
        (TokenFormat::Standard, true) => {
            return Err(Failure::new(
                Exit::Usage,
                "licenses are claims of the full format; say --format full too",
            ));
        }
    }
    Ok(path)
}

/// For a query's value (RFC 3986, 2.3): all but unreserved characters as their bytes.
fn encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}
