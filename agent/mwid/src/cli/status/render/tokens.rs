//! Tokens and those who ask for them, as lines of a status.
use super::{Page, one_line};
use crate::health::status::{CallerLine, CallersStatus, TokensStatus};

pub(super) fn tokens(page: &mut Page, tokens: &TokensStatus) {
    let mut text = one_line(&tokens.source);
    if let Some(from) = &tokens.from {
        text.push_str(&format!(" {}", one_line(from)));
    }
    if let Some(account) = &tokens.account {
        text.push_str(&format!(", account {}", one_line(account)));
    }
    if let Some(at) = tokens.last_answer {
        text.push_str(&format!(", answered {}", page.ago(at)));
    }
    page.line("tokens", &text);
    if tokens.for_development {
        let text = page
            .paint
            .warn("for development only: nobody but this machine believes these tokens");
        page.line("", &text);
    }
    if let Some(at) = tokens.expires_at {
        let text = format!("default token valid until {at} ({})", page.ago(at));
        page.line("", &text);
    }
    if tokens.source != "none" {
        let text = format!(
            "{} cached, {}, {}",
            tokens.cached,
            many(tokens.fetches, "fetch", "fetches"),
            many(tokens.hits, "hit", "hits")
        );
        page.line("", &text);
    }
    page.trouble("trouble", tokens.trouble.as_ref());
}

pub(super) fn callers(page: &mut Page, callers: &CallersStatus) {
    let rules = match callers.rules {
        0 => "no rules (only root and mwid's own user get tokens)".to_owned(),
        rules => many(rules as u64, "rule", "rules"),
    };
    let denials = many(callers.denials, "denial", "denials");
    let text = format!("{rules}, {}, {denials}", many(callers.grants, "grant", "grants"));
    page.line("callers", &text);
    for line in &callers.recent {
        caller(page, line);
    }
}

fn caller(page: &mut Page, line: &CallerLine) {
    let text = said(page, line);
    page.line("", &text);
}

/// One grant or denial.
pub(super) fn said(page: &Page, line: &CallerLine) -> String {
    let word = if line.granted { "granted" } else { "denied" };
    let mut text = one_line(&format!(
        "{word} {}: {} to {}",
        page.ago(line.at),
        line.what,
        line.caller
    ));
    if line.times > 1 {
        text.push_str(&format!(", {} times", line.times));
    }
    if let Some(why) = &line.why {
        text.push_str(&format!(": {}", one_line(why)));
    }
    if line.granted {
        text
    } else {
        page.paint.warn(&text)
    }
}

pub(super) fn many(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}
