//! A status as aligned text.
mod routes;
mod tokens;
mod workload;

use crate::cli::words::{Paint, clean, relative, span};
use crate::health::Condition;
use crate::health::status::{ErrorLine, IdentityStatus, PublishStatus, SourceStatus, Status};
use jiff::Timestamp;

/// Lines with a label in the first column; a label is written once.
struct Page {
    text: String,
    paint: Paint,
    now: Timestamp,
}

const COLUMN: usize = 12;

impl Page {
    fn line(&mut self, label: &str, text: &str) {
        let gap = COLUMN.saturating_sub(label.len());
        let label = if label.is_empty() {
            String::new()
        } else {
            self.paint.strong(label)
        };
        self.text.push_str(&format!("{label}{:gap$}{text}\n", ""));
    }

    fn ago(&self, at: Timestamp) -> String {
        relative(at, self.now)
    }

    fn trouble(&mut self, what: &str, trouble: Option<&ErrorLine>) {
        if let Some(trouble) = trouble {
            let text = format!("{what} {}: {}", self.ago(trouble.at), one_line(&trouble.text));
            let text = self.paint.bad(&text);
            self.line("", &text);
        }
    }
}

pub(super) fn text(status: &Status, paint: Paint) -> String {
    let mut page = Page {
        text: String::new(),
        paint,
        now: status.now,
    };
    head(&mut page, status);
    match &status.identity {
        Some(one) => identity(&mut page, one),
        None if status.source.kind == "none" => page.line("identity", "none wanted"),
        None => page.line("identity", "none yet"),
    }
    source(&mut page, &status.source);
    for one in &status.publish {
        publish(&mut page, one);
    }
    tokens::tokens(&mut page, &status.tokens);
    workload::workload(&mut page, &status.workload);
    tokens::callers(&mut page, &status.callers);
    routes::routes(&mut page, &status.routes);
    let mut label = "last errors";
    for error in &status.last_errors {
        let text = format!("{:.0}  {}", error.at, one_line(&error.text));
        page.line(label, &text);
        label = "";
    }
    page.text
}

fn head(page: &mut Page, status: &Status) {
    let ready = if status.ready {
        page.paint.good("ready")
    } else {
        page.paint.bad("not ready")
    };
    let up = status
        .now
        .as_second()
        .saturating_sub(status.started_at.as_second());
    let up = span(u64::try_from(up).unwrap_or(0));
    let text = format!(
        "{ready}, version {}, pid {}, up {up}",
        clean(&status.version),
        status.pid
    );
    page.line("mwid", &text);
    for (part, condition) in &status.parts {
        match condition {
            Condition::Ok => {}
            Condition::Degraded(why) => {
                let text = page.paint.warn(&one_line(&format!("{part} degraded: {why}")));
                page.line("", &text);
            }
            Condition::NotReady(why) => {
                let text = page.paint.bad(&one_line(&format!("{part} not ready: {why}")));
                page.line("", &text);
            }
        }
    }
}

fn identity(page: &mut Page, identity: &IdentityStatus) {
    let id = page.paint.strong(&clean(&identity.spiffe_id));
    page.line("identity", &id);
    let when = page.ago(identity.not_after);
    let until = format!("valid until {} ({when})", identity.not_after);
    let until = if identity.expired {
        page.paint
            .bad(&format!("expired at {} ({when})", identity.not_after))
    } else {
        until
    };
    page.line("", &until);
    let text = format!(
        "generation {}, serial {}",
        identity.generation,
        clean(&identity.serial)
    );
    page.line("", &text);
    let text = format!("trust domains: {}", clean(&identity.trust_domains.join(", ")));
    page.line("", &text);
}

fn source(page: &mut Page, source: &SourceStatus) {
    let mut text = one_line(&source.kind);
    if let Some(from) = &source.from {
        text.push_str(&format!(" {}", one_line(from)));
    }
    if let Some(at) = source.last_answer {
        text.push_str(&format!(", answered {}", page.ago(at)));
    }
    page.line("source", &text);
    if source.for_development {
        let text = page
            .paint
            .warn("for development only: this identity proves nothing to anybody else");
        page.line("", &text);
    }
    if let Some(from) = &source.restored_from {
        let text = one_line(&format!("restored from {}", from.display()));
        page.line("", &text);
    }
    for tried in &source.tried {
        page.line("", &one_line(&format!("tried {tried}")));
    }
    page.trouble("trouble", source.trouble.as_ref());
    page.trouble("refused", source.refused.as_ref());
    if source.refusals > 0 {
        page.line("", &format!("{} refused since the start", source.refusals));
    }
}

fn publish(page: &mut Page, publish: &PublishStatus) {
    let mut text = one_line(&publish.directory.display().to_string());
    match publish.published_at {
        Some(at) => text.push_str(&format!(
            ", generation {}, written {}",
            publish.generation,
            page.ago(at)
        )),
        None => text.push_str(", nothing written yet"),
    }
    page.line("publish", &text);
    page.trouble("trouble", publish.trouble.as_ref());
    for reaction in &publish.reactions {
        let mut text = one_line(&reaction.what);
        match reaction.done_at {
            Some(at) => text.push_str(&format!(
                ": done for generation {}, {}",
                reaction.generation,
                page.ago(at)
            )),
            None => text.push_str(": not done yet"),
        }
        if reaction.failures > 0 {
            text.push_str(&format!(", {} failures", reaction.failures));
        }
        page.line("", &text);
        page.trouble("trouble", reaction.trouble.as_ref());
    }
}

/// Others' words stay on their line and steer no terminal.
fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}
