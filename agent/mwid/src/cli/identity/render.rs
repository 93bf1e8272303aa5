//! An identity as aligned text.
use crate::api::admin::identity::{CertificateDetail, Described, IdentityDetail};
use crate::cli::words::{Paint, clean, relative};
use jiff::Timestamp;

pub(in crate::cli) fn text(detail: &IdentityDetail, now: Timestamp, paint: Paint) -> String {
    let mut page = String::new();
    let until = relative(detail.not_after, now);
    let until = if detail.not_after < now {
        paint.bad(&format!("expired {until}"))
    } else {
        format!("ends {until}")
    };
    let id = paint.strong(&field(&detail.spiffe_id));
    page.push_str(&format!("{id}\ngeneration {}, {until}\n", detail.generation));
    certificate(&mut page, "leaf", &detail.leaf, now, paint);
    for (at, one) in detail.chain.iter().enumerate() {
        certificate(&mut page, &format!("intermediate {}", at + 1), one, now, paint);
    }
    for bundle in &detail.bundles {
        for root in &bundle.roots {
            let title = format!("root of {}", field(&bundle.trust_domain));
            certificate(&mut page, &title, root, now, paint);
        }
        if bundle.roots.is_empty() {
            let text = format!(
                "\ntrust domain {} has no roots: nobody of it is trusted\n",
                field(&bundle.trust_domain)
            );
            page.push_str(&paint.warn(&text));
        }
    }
    page
}

fn certificate(page: &mut String, title: &str, described: &Described, now: Timestamp, paint: Paint) {
    page.push_str(&format!("\n{}\n", paint.strong(title)));
    let mut line = |label: &str, text: &str| page.push_str(&format!("  {label:<10}{text}\n"));
    match described {
        Described::Readable(certificate) => lines(certificate, now, &mut line),
        Described::Unreadable { sha256, trouble } => {
            line("trouble", &field(trouble));
            line("sha256", &field(sha256));
        }
    }
}

fn lines(certificate: &CertificateDetail, now: Timestamp, line: &mut impl FnMut(&str, &str)) {
    let subject = match certificate.subject.as_str() {
        "" => "(empty)".to_owned(),
        subject => field(subject),
    };
    line("subject", &subject);
    for uri in &certificate.uris {
        line("uri", &field(uri));
    }
    for name in &certificate.dns_names {
        line("dns", &field(name));
    }
    if certificate.issuer != certificate.subject {
        line("issuer", &field(&certificate.issuer));
    }
    line("serial", &field(&certificate.serial));
    line(
        "from",
        &format!(
            "{} ({})",
            certificate.not_before,
            relative(certificate.not_before, now)
        ),
    );
    line(
        "until",
        &format!(
            "{} ({})",
            certificate.not_after,
            relative(certificate.not_after, now)
        ),
    );
    line("key", &field(&certificate.key));
    let mut usages = certificate.usages.clone();
    usages.extend(certificate.extended_usages.iter().cloned());
    if certificate.ca {
        usages.insert(0, "CA".to_owned());
    }
    if !usages.is_empty() {
        line("for", &field(&usages.join(", ")));
    }
    line("sha256", &field(&certificate.sha256));
}

/// What a certificate says stays on its line and steers no terminal.
fn field(text: &str) -> String {
    clean(text).replace('\n', " ")
}
