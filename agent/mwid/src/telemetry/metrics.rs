//! The registry of all counters.
//!
//! In: the counters of each room, which it registers itself (`Metrics::register(&mut Registry)`), with short names and without the
//! prefix. Out: Prometheus text. Never a label whose values others choose.
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;

/// A registry with what describes the process itself.
pub(crate) fn registry(version: &'static str, started_at: Timestamp) -> Registry {
    let mut registry = Registry::with_prefix("mwid");
    let build = Family::<[(&'static str, &'static str); 1], Gauge>::default();
    build.get_or_create(&[("version", version)]).set(1);
    registry.register("build_info", "The version of mwid; always 1", build);
    let start = Gauge::<i64>::default();
    start.set(started_at.as_second());
    registry.register(
        "start_time_seconds",
        "When the process started, in Unix time",
        start,
    );
    registry
}

/// Which dialect a scraper understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenMetrics,
    /// The older text format, which everything reads.
    Prometheus,
}

impl Dialect {
    /// Of the header `Accept`.
    pub(crate) fn wanted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All counters as text.
pub(crate) fn text(registry: &Registry, dialect: Dialect) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(8 * 1024);
    encode(&mut text, registry)?;
    Ok(match dialect {
        Dialect::OpenMetrics => text,
        Dialect::Prometheus => older(&text),
    })
}

/// OpenMetrics names the family of a counter without `_total`; the older format wants the name of its samples.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 512);
    let mut help: Option<&str> = None;
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ")
            && let Some((name, kind)) = rest.split_once(' ')
        {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take().and_then(|help| help.split_once(' ')) {
                out.push_str(&format!("# HELP {name}{total} {words}\n"));
            }
            out.push_str(&format!("# TYPE {name}{total} {kind}\n"));
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    fn some() -> Registry {
        let mut registry = registry("1.2.3", Timestamp::from_second(1_700_000_000).unwrap());
        let refusals = Counter::<u64>::default();
        refusals.inc_by(3);
        registry.register("refusals", "Refused candidates", refusals);
        registry
    }

    #[test]
    fn the_older_format_is_what_old_scrapers_read() {
        assert_eq!(
            text(&some(), Dialect::wanted("*/*")).unwrap(),
            "# HELP mwid_build_info The version of mwid; always 1.\n\
             # TYPE mwid_build_info gauge\n\
             mwid_build_info{version=\"1.2.3\"} 1\n\
             # HELP mwid_start_time_seconds When the process started, in Unix time.\n\
             # TYPE mwid_start_time_seconds gauge\n\
             mwid_start_time_seconds 1700000000\n\
             # HELP mwid_refusals_total Refused candidates.\n\
             # TYPE mwid_refusals_total counter\n\
             mwid_refusals_total 3\n"
        );
    }

    #[test]
    fn open_metrics_is_given_to_who_asks_for_it() {
        let dialect = Dialect::wanted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        let text = text(&some(), dialect).unwrap();
        assert!(
            text.contains("# TYPE mwid_refusals counter\nmwid_refusals_total 3\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
        assert!(dialect.content_type().starts_with("application/openmetrics-text"));
    }
}
