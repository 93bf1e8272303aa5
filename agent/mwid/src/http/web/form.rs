//! Form bodies (application/x-www-form-urlencoded). In: names and values. Out: bytes that are wiped. Never shown in a log.
use zeroize::Zeroizing;

/// A form that is being filled in.
#[derive(Default)]
pub(crate) struct Form {
    fields: Vec<(&'static str, Zeroizing<String>, bool)>,
}

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A value that may be shown.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, Zeroizing::new(value.to_owned()), false));
        self
    }

    /// A value that an answer must not be shown with.
    #[must_use]
    pub(crate) fn with_secret(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, Zeroizing::new(value.to_owned()), true));
        self
    }

    /// Whether a text holds one of the secret values.
    pub(crate) fn is_betrayed_by(&self, text: &str) -> bool {
        self.fields
            .iter()
            .any(|(_, value, secret)| *secret && !value.is_empty() && text.contains(value.as_str()))
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Large enough at once: a growing vector would leave copies behind.
        let most = self
            .fields
            .iter()
            .map(|(name, value, _)| name.len() + 3 * value.len() + 2);
        let mut body = Zeroizing::new(Vec::with_capacity(most.sum()));
        for (name, value, _) in &self.fields {
            if !body.is_empty() {
                body.push(b'&');
            }
            body.extend_from_slice(name.as_bytes());
            body.push(b'=');
            escape(value, &mut body);
        }
        body
    }
}

/// A part of a URL's path, escaped.
pub(crate) fn path_part(text: &str) -> String {
    let mut out = Vec::with_capacity(3 * text.len());
    escape(text, &mut out);
    // Only ASCII is written.
    String::from_utf8_lossy(&out).into_owned()
}

/// Everything but the unreserved characters of RFC 3986, 2.3. A space as %20, which every decoder of forms understands.
fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend([b'%', HEX[high], HEX[low]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_secrets_known() {
        let form = Form::new()
            .with("scope", "https://a b")
            .with_secret("token", "é+&=~x");
        assert_eq!(
            form.encode().as_slice(),
            b"scope=https%3A%2F%2Fa%20b&token=%C3%A9%2B%26%3D~x"
        );
        assert!(form.is_betrayed_by("bad token é+&=~x given"));
        assert!(!form.is_betrayed_by("bad scope https://a b given"));
        assert_eq!(path_part("a@b/c"), "a%40b%2Fc");
    }
}
