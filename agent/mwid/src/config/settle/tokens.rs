//! `tokens.source`: where tokens for Google APIs come from.
use super::place::At;
use super::values::{absolute, account, endpoint, quoted, server_address};
use crate::config::error::Wrong;
use crate::config::{TokenSourceSettings, later, raw};
use std::collections::BTreeSet;

/// The platform's own chains are shorter.
const MOST_DELEGATES: usize = 16;

pub(super) fn settle(at: &At, raw: raw::TokenSource) -> TokenSourceSettings {
    match raw {
        raw::TokenSource::Word(word) => word_of(
            at,
            &word,
            "auto, none, metadata, adc, dev or { impersonate: { … } }",
        ),
        raw::TokenSource::Metadata(raw) => metadata(&at.key("metadata"), raw),
        raw::TokenSource::Adc(raw) => adc(&at.key("adc"), raw),
        raw::TokenSource::Impersonate(raw) => impersonate(&at.key("impersonate"), raw),
    }
}

fn word_of(at: &At, word: &str, wanted: &'static str) -> TokenSourceSettings {
    match word {
        "auto" => TokenSourceSettings::Auto,
        "none" => TokenSourceSettings::None,
        "metadata" => TokenSourceSettings::Metadata { address: None },
        "adc" => TokenSourceSettings::Adc { file: None },
        "dev" => TokenSourceSettings::Dev,
        other => {
            let wrong = Wrong::new(&quoted(other), wanted);
            at.refuse(match (other, later::serves(&format!("tokens.source.{other}"))) {
                (_, Some(what)) => wrong.fix(format!("this version does not serve {what} yet")),
                ("impersonate", None) => wrong.fix("say whom: { impersonate: { email: ACCOUNT } }"),
                _ => wrong,
            });
            TokenSourceSettings::None
        }
    }
}

fn metadata(at: &At, raw: raw::TokenMetadata) -> TokenSourceSettings {
    TokenSourceSettings::Metadata {
        address: at.maybe(
            "address",
            raw.address.map(|text| server_address(&text.0, "the tokens")),
        ),
    }
}

fn adc(at: &At, raw: raw::Adc) -> TokenSourceSettings {
    TokenSourceSettings::Adc {
        file: at.maybe("file", raw.file.map(|text| absolute(&text.0))),
    }
}

fn impersonate(at: &At, raw: raw::Impersonate) -> TokenSourceSettings {
    if raw.email.is_none() {
        at.refuse(
            Wrong::new("no `email`", "the service account whose tokens are wanted")
                .fix("say email: NAME@PROJECT.iam.gserviceaccount.com"),
        );
    }
    TokenSourceSettings::Impersonate {
        email: at.take("email", raw.email.map(|text| account(&text.0)), String::new()),
        from: Box::new(match raw.from {
            Some(from) => base(&at.key("from"), *from),
            None => TokenSourceSettings::Auto,
        }),
        delegates: delegates(&at.key("delegates"), raw.delegates.unwrap_or_default()),
        endpoint: at.maybe("endpoint", raw.endpoint.map(|text| endpoint(&text.0))),
    }
}

/// The source whose tokens pay for those of the other account.
fn base(at: &At, raw: raw::TokenSource) -> TokenSourceSettings {
    let wanted = "auto, metadata, adc or dev";
    match raw {
        raw::TokenSource::Word(word) if word == "none" => {
            at.refuse(
                Wrong::new("\"none\"", wanted)
                    .fix("impersonation asks with the tokens of a source of its own"),
            );
            TokenSourceSettings::None
        }
        raw::TokenSource::Word(word) => word_of(at, &word, wanted),
        raw::TokenSource::Impersonate(_) => {
            at.refuse(Wrong::new("`impersonate` in `impersonate`", wanted).fix(
                "to go through other accounts, name them in `delegates`; each must let the one before it make its tokens",
            ));
            TokenSourceSettings::None
        }
        other => settle(at, other),
    }
}

fn delegates(at: &At, raw: Vec<raw::Text>) -> Vec<String> {
    if raw.len() > MOST_DELEGATES {
        at.refuse(Wrong::new(
            &format!("{} accounts", raw.len()),
            format!("at most {MOST_DELEGATES}"),
        ));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut accounts = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        match account(&text.0) {
            Ok(email) if !seen.insert(email.clone()) => at.item(index).refuse(Wrong::new(
                &format!("{} a second time", quoted(&email)),
                "each account once",
            )),
            Ok(email) => accounts.push(email),
            Err(wrong) => at.item(index).refuse(wrong),
        }
    }
    accounts
}
