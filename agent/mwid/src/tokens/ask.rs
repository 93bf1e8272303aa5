//! What can be asked for. In: nothing. Out: plain values that are the cache's keys. Never holds a secret.
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

/// Whose token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Account {
    /// The source's own.
    Default,
    /// By e-mail address or any other alias but `default`.
    Named(String),
}

/// Which scopes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scopes {
    /// Those that the account has at the source.
    Default,
    /// Exactly these; not empty.
    Exactly(BTreeSet<String>),
}

/// Binds a token to a certificate or a transport: passed on to a platform that can do it as it came, refused by every other source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Binding {
    /// `bindCertificateFingerprint`, `transport`, `binding-enforcement`, with their decoded values.
    pub(crate) query: Vec<(String, String)>,
    /// The JSON body of the POST form.
    pub(crate) body: Option<Vec<u8>>,
}

/// An access token, please.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccessAsk {
    pub(crate) account: Account,
    pub(crate) scopes: Scopes,
    pub(crate) binding: Option<Binding>,
}

/// The question that nearly everybody asks has the shortest hash.
impl Hash for AccessAsk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            account,
            scopes,
            binding,
        } = self;
        let is_plain = (account, scopes, binding) == (&Account::Default, &Scopes::Default, &None);
        state.write_u8(is_plain.into());
        if !is_plain {
            account.hash(state);
            scopes.hash(state);
            binding.hash(state);
        }
    }
}

/// Which claims an ID token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IdFormat {
    Standard,
    Full { licenses: bool },
}

/// An ID token, please.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct IdAsk {
    pub(crate) account: Account,
    pub(crate) audience: String,
    pub(crate) format: IdFormat,
    pub(crate) binding: Option<Binding>,
}
