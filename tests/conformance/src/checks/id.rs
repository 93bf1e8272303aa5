//! The grammar of SPIFFE IDs, on every ID that was served: SPIFFE-ID, 2.
use super::{Check, Document, Look, Outcome, each, holds, must, should};
use crate::reading::id::Parts;
use crate::seen::Server;
use std::collections::BTreeSet;

pub(super) const CHECKS: &[Check] = &[
    must(
        "id.scheme",
        Document::Id,
        "2",
        "the scheme is `spiffe`",
        Look::At(|s| ids(s, |id| id.scheme == "spiffe")),
    ),
    must(
        "id.trust-domain",
        Document::Id,
        "2.1",
        "the name of the trust domain is not empty",
        Look::At(|s| ids(s, |id| !id.host().is_empty())),
    ),
    must(
        "id.no-query",
        Document::Id,
        "2",
        "there is no query and no fragment",
        Look::At(|s| ids(s, |id| id.rest.is_empty())),
    ),
    must(
        "id.only-host",
        Document::Id,
        "2.1",
        "there is no user information and no port",
        Look::At(|s| ids(s, |id| !id.authority.contains(['@', ':']))),
    ),
    must(
        "id.lower-case",
        Document::Id,
        "2.1",
        "the name of the trust domain is in lower case",
        Look::At(|s| ids(s, |id| !id.host().bytes().any(|b| b.is_ascii_uppercase()))),
    ),
    must(
        "id.host-letters",
        Document::Id,
        "2.1",
        "the name of the trust domain has only letters, digits, dots, dashes, underscores",
        Look::At(|s| ids(s, |id| id.host().bytes().all(|b| allowed(b) || b == b'%'))),
    ),
    must(
        "id.host-percent",
        Document::Id,
        "2.1",
        "the name of the trust domain is not percent-encoded",
        Look::At(|s| ids(s, |id| !id.host().contains('%'))),
    ),
    must(
        "id.path-percent",
        Document::Id,
        "2.2",
        "the path is not percent-encoded",
        Look::At(|s| ids(s, |id| !id.path.contains('%'))),
    ),
    must(
        "id.path-empty-segment",
        Document::Id,
        "2.2",
        "the path has no empty segments",
        Look::At(|s| ids(s, |id| !id.segments().any(str::is_empty))),
    ),
    must(
        "id.path-relative",
        Document::Id,
        "2.2",
        "the path has no segments `.` and `..`",
        Look::At(|s| ids(s, |id| !id.segments().any(|part| part == "." || part == ".."))),
    ),
    must(
        "id.path-slash",
        Document::Id,
        "2.2",
        "the path has no slash at its end",
        Look::At(|s| ids(s, |id| !id.path.ends_with('/') || id.path == "/")),
    ),
    must(
        "id.path-letters",
        Document::Id,
        "2.2",
        "the path's segments have only letters, digits, dots, dashes, underscores",
        Look::At(|s| ids(s, |id| id.path.bytes().all(|b| allowed(b) || b"/%".contains(&b)))),
    ),
    should(
        "id.length",
        Document::Id,
        "2.3",
        "an ID has 2048 bytes at most",
        Look::At(|s| ids(s, |id| id.whole.len() <= 2048)),
    ),
    must(
        "id.host-length",
        Document::Id,
        "2.3",
        "the name of a trust domain has 255 bytes at most",
        Look::At(|s| ids(s, |id| id.host().len() <= 255)),
    ),
];

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

fn ids(server: &Server, good: impl Fn(&Parts<'_>) -> bool) -> Outcome {
    server.x509.get()?;
    let mut ids = BTreeSet::new();
    for identity in &server.identities {
        ids.insert(identity.message.spiffe_id.as_str());
        if let Ok(leaf) = identity.leaf() {
            ids.extend(leaf.id());
        }
    }
    if let Ok(jwt) = server.jwt.get() {
        ids.extend(jwt.svids.iter().map(|svid| svid.spiffe_id.as_str()));
    }
    ids.remove("");
    let count = ids.len();
    each(
        ids,
        |_| "an ID".to_owned(),
        |id| {
            holds(good(&Parts::of(id)), *id, || {
                if id.len() > 100 {
                    format!("{} bytes", id.len())
                } else {
                    format!("{id:?}")
                }
            })
        },
    )
    .map(|_| format!("{count} looked at"))
}
