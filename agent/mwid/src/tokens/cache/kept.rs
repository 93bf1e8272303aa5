//! What is asked for, and what is kept for it. In: the room's asks and tokens. Out: what the cache must know of them: how to ask, how long it
//! holds, how heavy it is. Never looks into a token.
use crate::tokens::{
    AccessAsk, AccessToken, Account, AccountInfo, Asking, Binding, IdAsk, IdToken, Scopes, TokenSource,
};
use mtls_identity::UnixTime;
use std::hash::Hash;

/// A question, whole: two that are equal have the same answer.
pub(in crate::tokens) trait Ask: Clone + Eq + Hash + Send + Sync + 'static {
    type Answer: Kept;
    /// For metrics: `access`, `id`, `account`.
    const KIND: &'static str;

    fn put<'a>(&'a self, source: &'a dyn TokenSource) -> Asking<'a, Self::Answer>;

    /// In bytes, more or less.
    fn weight(&self) -> usize;

    /// What most callers ask for, and the health board looks at: never made room of.
    fn is_default(&self) -> bool;
}

/// An answer.
pub(in crate::tokens) trait Kept: Send + Sync + 'static {
    /// None: it does not expire, but is asked for again now and then.
    fn expires_at(&self) -> Option<UnixTime>;

    /// The same with another end, for a clock that was set.
    fn expiring(&self, at: UnixTime) -> Self;

    /// In bytes, more or less, with what is kept beside it.
    fn weight(&self) -> usize;
}

impl Ask for AccessAsk {
    type Answer = AccessToken;
    const KIND: &'static str = "access";

    fn put<'a>(&'a self, source: &'a dyn TokenSource) -> Asking<'a, AccessToken> {
        source.access(self)
    }

    fn weight(&self) -> usize {
        let scopes = match &self.scopes {
            Scopes::Default => 0,
            Scopes::Exactly(scopes) => scopes.iter().map(|scope| text(scope)).sum(),
        };
        self.account.weight() + scopes + binding(self.binding.as_ref())
    }

    fn is_default(&self) -> bool {
        *self == Self::of_default()
    }
}

impl AccessAsk {
    /// What a caller gets who asks for nothing in particular.
    pub(in crate::tokens) fn of_default() -> Self {
        Self {
            account: Account::Default,
            scopes: Scopes::Default,
            binding: None,
        }
    }
}

impl Ask for IdAsk {
    type Answer = IdToken;
    const KIND: &'static str = "id";

    fn put<'a>(&'a self, source: &'a dyn TokenSource) -> Asking<'a, IdToken> {
        source.id(self)
    }

    fn weight(&self) -> usize {
        self.account.weight() + text(&self.audience) + binding(self.binding.as_ref())
    }

    fn is_default(&self) -> bool {
        false
    }
}

impl Ask for Account {
    type Answer = AccountInfo;
    const KIND: &'static str = "account";

    fn put<'a>(&'a self, source: &'a dyn TokenSource) -> Asking<'a, AccountInfo> {
        source.account(self)
    }

    fn weight(&self) -> usize {
        match self {
            Self::Default => 0,
            Self::Named(name) => text(name),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl Kept for AccessToken {
    fn expires_at(&self) -> Option<UnixTime> {
        Some(self.expires_at)
    }

    fn expiring(&self, at: UnixTime) -> Self {
        Self::new(self.secret.clone(), self.token_type.clone(), at)
    }

    fn weight(&self) -> usize {
        // The answer that is kept with it holds the token once more.
        2 * text(&self.secret) + text(&self.token_type)
    }
}

impl Kept for IdToken {
    fn expires_at(&self) -> Option<UnixTime> {
        Some(self.expires_at)
    }

    fn expiring(&self, at: UnixTime) -> Self {
        Self::new(self.secret.clone(), at)
    }

    fn weight(&self) -> usize {
        text(&self.secret)
    }
}

impl Kept for AccountInfo {
    fn expires_at(&self) -> Option<UnixTime> {
        None
    }

    fn expiring(&self, _at: UnixTime) -> Self {
        self.clone()
    }

    fn weight(&self) -> usize {
        let all = self.aliases.iter().chain(&self.scopes);
        text(&self.email) + all.map(|each| text(each)).sum::<usize>()
    }
}

/// With what the allocator adds.
fn text(text: &str) -> usize {
    text.len() + 32
}

fn binding(binding: Option<&Binding>) -> usize {
    binding.map_or(0, |Binding { query, body }| {
        let pairs: usize = query.iter().map(|(name, value)| text(name) + text(value)).sum();
        pairs + body.as_ref().map_or(0, Vec::len)
    })
}
