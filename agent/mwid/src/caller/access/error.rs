//! Why rules cannot be put in force. In: what was looked up. Out: the key, the name and the fix.

/// Why rules cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("access[{index}].who.user: there is no user {name}; create it, correct the name or write `uid:`")]
    NoUser { index: usize, name: String },
    #[error(
        "access[{index}].who.group: there is no group {name}; create it, correct the name or write `gid:`"
    )]
    NoGroup { index: usize, name: String },
    #[error(
        "access[{index}].who.{key}: whether there is {name} cannot be found out; \
         look at /etc/nsswitch.conf and the service behind it, or write the number"
    )]
    LookUp {
        index: usize,
        /// `user` or `group`.
        key: &'static str,
        name: String,
        #[source]
        source: nix::Error,
    },
}
