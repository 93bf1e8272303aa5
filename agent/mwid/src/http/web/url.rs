//! Where a request may go. In: a text. Out: a URL that is https, or http to an address so near that nobody is in between. Its Display
//! leaves out the query, which may hold what is nobody's business.
use hyper::Uri;
use hyper::http::uri::InvalidUri;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A URL that a request may be sent to. Cheap to clone, and small where an error holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    uri: Uri,
    /// With brackets, if it is an IPv6 address.
    host: String,
    https: bool,
}

/// How far plain http may go: a secret travels there in the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// This machine.
    Loopback,
    /// Also a link-local address: the metadata servers of other clouds, which hand out subject tokens.
    LinkLocal,
}

/// Why a text is no URL that a request may be sent to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("it is no URL; write https://HOST/PATH")]
    NotAUrl(#[source] InvalidUri),
    #[error("it has no host; write https://HOST/PATH")]
    NoHost,
    #[error("its scheme is neither https nor http; write https://HOST/PATH")]
    Scheme,
    #[error("it has a user or a fragment (@ or #), which is not followed; leave it out")]
    Extras,
    #[error("it is plain http to {host}, where others could read and answer; write https://")]
    TooFar { host: String },
}

impl Url {
    /// https to anywhere, http to this machine.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        Self::parse_within(text, Plain::Loopback)
    }

    /// https to anywhere, http as far as `plain` says.
    pub(crate) fn parse_within(text: &str, plain: Plain) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(UrlError::NotAUrl)?;
        let host = uri.host().unwrap_or_default().to_owned();
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        if text.contains('#') || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(UrlError::Extras);
        }
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlError::Scheme),
        };
        if !https && !is_near(&host, plain) {
            return Err(UrlError::TooFar { host });
        }
        Ok(Self(Arc::new(Parts { uri, host, https })))
    }

    /// As it was written, with its query.
    pub(crate) fn to_text(&self) -> String {
        self.0.uri.to_string()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        bare(&self.0.host)
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.https
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_near(host: &str, plain: Plain) -> bool {
    let linked = plain == Plain::LinkLocal;
    match bare(host).parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || (linked && ip.is_link_local()),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || (linked && ip.is_unicast_link_local()),
        // The one name that is this machine by definition (RFC 6761, 6.3); where it really leads is looked at once connected.
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.https { "https" } else { "http" };
        let authority = self.0.uri.authority().map_or("", |a| a.as_str());
        write!(f, "{scheme}://{authority}{}", self.0.uri.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_goes_anywhere_and_plain_http_only_near() {
        for good in [
            "https://sts.googleapis.com/v1/token",
            "https://sts.googleapis.com:8443",
            "http://127.0.0.1:80/a?b=c",
            "http://localhost/",
            "http://[::1]:9/",
        ] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for far in [
            "http://oauth2.googleapis.com/token",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://169.254.169.254/metadata/identity",
            "http://0.0.0.0/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(matches!(Url::parse(far), Err(UrlError::TooFar { .. })), "{far}");
        }
        let azure = "http://169.254.169.254/metadata/identity";
        assert!(Url::parse_within(azure, Plain::LinkLocal).is_ok());
        assert!(Url::parse_within("http://10.0.0.1/", Plain::LinkLocal).is_err());
    }

    #[test]
    fn what_is_no_url_for_a_request_is_refused() {
        for bad in [
            "",
            "token",
            "/v1/token",
            "ftp://127.0.0.1/",
            "https://",
            "https:///v1",
            "https://user:password@sts.googleapis.com/",
            "https://sts.googleapis.com/#a",
            "https://sts.googleapis.com/a b",
            "https://:443/",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_query_is_not_shown() {
        let url = Url::parse("https://h.example:99/p?code=hidden").unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "https://h.example:99/p https://h.example:99/p"
        );
        assert_eq!(url.to_text(), "https://h.example:99/p?code=hidden");
    }
}
