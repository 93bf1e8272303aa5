//! What a request's path asks for. In: the path as it came, never decoded. Out: a target, or none. Never repairs a path: what hides something
//! (`%`, an empty segment, a dot segment) is not there, as the metadata server has it.
//!
//! Names no other room, so that the fuzz target can take the file as it is.

/// Where all that is served lives.
const ROOT: &str = "/computeMetadata/v1/";
const ACCOUNTS: &str = "instance/service-accounts";
/// What nearly every request asks for.
const COMMON: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// Longer names of accounts are nobody's (RFC 5321: 64 + 1 + 255).
const LONGEST_NAME: usize = 320;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/`: is this a metadata server?
    Root,
    /// `/computeMetadata/`
    Versions,
    /// A directory without the slash at its end, of those that are ours.
    Unslashed,
    /// `instance/service-accounts/`
    Accounts,
    /// `instance/service-accounts/NAME/`
    Account(&'a str),
    /// `instance/service-accounts/NAME/…`
    Leaf(&'a str, Leaf),
    Token(&'a str),
    Identity(&'a str),
    /// `universe/`
    Universe,
    /// `universe/universe-domain`
    UniverseDomain,
    /// The rest of the tree, below `/computeMetadata/v1/`: a final slash is kept, the tree itself is empty.
    Tree(&'a str),
}

/// A value of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Aliases,
    Email,
    Scopes,
}

/// Whether the path is the one of the default account's token.
pub(super) fn is_common(path: &str) -> bool {
    path == COMMON
}

impl<'a> Target<'a> {
    /// None: there is no such thing here.
    pub(super) fn find(path: &'a str) -> Option<Self> {
        if path == COMMON {
            return Some(Self::Token("default"));
        }
        let Some(below) = path.strip_prefix(ROOT) else {
            return match path {
                "/" => Some(Self::Root),
                "/computeMetadata" | "/computeMetadata/v1" => Some(Self::Unslashed),
                "/computeMetadata/" => Some(Self::Versions),
                _ => None,
            };
        };
        if !is_plain(below) {
            return None;
        }
        match below {
            "universe" => return Some(Self::Unslashed),
            "universe/" => return Some(Self::Universe),
            "universe/universe-domain" => return Some(Self::UniverseDomain),
            _ => {}
        }
        let Some(rest) = below.strip_prefix(ACCOUNTS) else {
            return Some(Self::Tree(below));
        };
        match (rest, rest.strip_prefix('/')) {
            ("", _) => Some(Self::Unslashed),
            (_, Some("")) => Some(Self::Accounts),
            (_, Some(account)) => Self::of_account(account),
            (_, None) => Some(Self::Tree(below)),
        }
    }

    fn of_account(rest: &'a str) -> Option<Self> {
        let (name, leaf) = match rest.split_once('/') {
            Some((name, leaf)) => (name, Some(leaf)),
            None => (rest, None),
        };
        if !is_name(name) {
            return None;
        }
        Some(match leaf {
            None => Self::Unslashed,
            Some("") => Self::Account(name),
            Some("token") => Self::Token(name),
            Some("identity") => Self::Identity(name),
            Some("aliases") => Self::Leaf(name, Leaf::Aliases),
            Some("email") => Self::Leaf(name, Leaf::Email),
            Some("scopes") => Self::Leaf(name, Leaf::Scopes),
            Some(_) => return None,
        })
    }
}

/// Printable ASCII without `%` and `\`, and no segment that is empty (but for the slash at the end) or made to climb.
fn is_plain(below: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b'\\' | b'?' | b'#');
    let whole = below.strip_suffix('/').unwrap_or(below);
    below.bytes().all(plain)
        && (below.is_empty()
            || whole
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | "..")))
}

/// An e-mail address or an alias.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(below: &str) -> Option<String> {
        Target::find(&format!("/computeMetadata/v1/{below}")).map(|target| format!("{target:?}"))
    }

    #[test]
    fn each_path_is_what_it_says() {
        for (path, target) in [
            ("/", Target::Root),
            ("/computeMetadata", Target::Unslashed),
            ("/computeMetadata/", Target::Versions),
            ("/computeMetadata/v1", Target::Unslashed),
            ("/computeMetadata/v1/", Target::Tree("")),
            (COMMON, Target::Token("default")),
        ] {
            assert_eq!(Target::find(path), Some(target), "{path}");
        }
        for (below, target) in [
            ("instance", "Tree(\"instance\")"),
            ("instance/", "Tree(\"instance/\")"),
            (
                "instance/attributes/a$b,c(d)",
                "Tree(\"instance/attributes/a$b,c(d)\")",
            ),
            (
                "instance/service-accountsX/",
                "Tree(\"instance/service-accountsX/\")",
            ),
            ("instance/service-accounts", "Unslashed"),
            ("instance/service-accounts/", "Accounts"),
            ("instance/service-accounts/default", "Unslashed"),
            ("instance/service-accounts/default/", "Account(\"default\")"),
            ("instance/service-accounts/a@b.c/token", "Token(\"a@b.c\")"),
            ("instance/service-accounts/a@b.c/identity", "Identity(\"a@b.c\")"),
            (
                "instance/service-accounts/default/aliases",
                "Leaf(\"default\", Aliases)",
            ),
            (
                "instance/service-accounts/default/email",
                "Leaf(\"default\", Email)",
            ),
            (
                "instance/service-accounts/default/scopes",
                "Leaf(\"default\", Scopes)",
            ),
            ("universe", "Unslashed"),
            ("universe/", "Universe"),
            ("universe/universe-domain", "UniverseDomain"),
            ("universe/other", "Tree(\"universe/other\")"),
        ] {
            assert_eq!(find(below).as_deref(), Some(target), "{below}");
        }
    }

    #[test]
    fn what_hides_something_is_not_there() {
        for path in [
            "",
            "*",
            "//",
            "/index.html",
            "/computeMetadata/v1beta1/",
            "/computeMetadata/v11/",
            "/computemetadata/v1/",
            "/computeMetadata//v1/",
            "/computeMetadata/./v1/",
            "/x/../computeMetadata/v1/instance/id",
        ] {
            assert_eq!(Target::find(path), None, "{path}");
        }
        for below in [
            "/",
            ".",
            "..",
            "../",
            "./instance",
            "instance//id",
            "instance/id//",
            "instance/../project/",
            "instance/service%2Daccounts/default/token",
            "instance/service-accounts//default/token",
            "instance/service-accounts/./default/token",
            "instance/service-accounts/../service-accounts/default/token",
            "instance/service-accounts/default//token",
            "instance/service-accounts/default/token/",
            "instance/service-accounts/default/token/x",
            "instance/service-accounts/default/Token",
            "instance/service-accounts/default/other",
            "instance/service-accounts/de%66ault/token",
            "instance/service-accounts/a\\b/token",
            "instance/service-accounts/{a}/token",
            "instance/attributes/\u{e4}",
            "instance\\id",
        ] {
            assert_eq!(find(below), None, "{below}");
        }
        let long = format!("instance/service-accounts/{}/token", "a".repeat(321));
        assert_eq!(find(&long), None);
    }
}
