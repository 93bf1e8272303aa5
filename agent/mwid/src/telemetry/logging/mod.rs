//! Logging: one line an event.
//!
//! In: `tracing` events. Out: journald entries with fields, or text, or JSON on standard error; besides, the newest warnings and
//! errors are kept for `/status`. Spans are not shown: what an event must tell, it tells itself.
mod journal;
mod line;
mod recent;
mod render;
#[cfg(test)]
mod tests;

pub(crate) use recent::Recent;

use jiff::Timestamp;
use journal::Journal;
use line::Line;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

/// A clock with fractions of a second, for times of events.
pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The variable that overrides the configured level: `debug`, or `mwid::source=debug,info`.
pub(crate) const VARIABLE: &str = "MWID_LOG";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The journal when standard error is connected to it, else text.
    Auto,
    Text,
    Json,
    Journald,
}

/// What logging is to be like.
pub(crate) struct Options {
    pub(crate) level: Level,
    /// The contents of [`VARIABLE`].
    pub(crate) filter: Option<String>,
    pub(crate) format: Format,
    pub(crate) now: Now,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    #[error(
        "{VARIABLE}={text:?} is no log filter: write a level such as `debug`, or `mwid::source=debug,info`"
    )]
    Filter {
        text: String,
        #[source]
        source: ParseError,
    },
    #[error("cannot open a socket for the journal: set `log.format: text`")]
    Journal(#[source] std::io::Error),
    #[error("logging was started twice")]
    Twice(#[source] SetGlobalDefaultError),
    #[error("the log level cannot be changed any more")]
    Gone(#[source] reload::Error),
}

/// The running logging.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    /// The newest warnings and errors.
    pub(crate) recent: Recent,
    level: reload::Handle<EnvFilter, Registry>,
    overridden: bool,
}

impl Logging {
    /// Follows a changed configuration. [`VARIABLE`] still wins.
    pub(crate) fn set_level(&self, level: Level) -> Result<(), LoggingError> {
        if self.overridden {
            return Ok(());
        }
        self.level.reload(level_filter(level)).map_err(LoggingError::Gone)
    }
}

/// Starts logging for the whole process; once.
pub(crate) fn start(options: Options) -> Result<Logging, LoggingError> {
    let sink = Sink::choose(options.format)?;
    let (subscriber, logging) = assemble(options, sink)?;
    tracing::subscriber::set_global_default(subscriber).map_err(LoggingError::Twice)?;
    Ok(logging)
}

/// The wall clock.
pub(crate) fn wall_clock() -> Now {
    #[expect(clippy::disallowed_methods, reason = "this is the place that makes the clock")]
    Arc::new(Timestamp::now)
}

fn assemble(
    options: Options,
    sink: Sink,
) -> Result<(impl Subscriber + Send + Sync + 'static, Logging), LoggingError> {
    let overridden = options.filter.as_deref().is_some_and(|f| !f.trim().is_empty());
    let filter = match options.filter {
        Some(text) if overridden => match EnvFilter::builder().parse(&text) {
            Ok(filter) => filter,
            Err(source) => return Err(LoggingError::Filter { text, source }),
        },
        _ => level_filter(options.level),
    };
    let (filter, level) = reload::Layer::new(filter);
    let recent = Recent::new(Arc::clone(&options.now));
    let output = Output {
        sink,
        now: options.now,
    };
    let subscriber = Registry::default()
        .with(output.with_filter(filter))
        .with(recent.clone().with_filter(LevelFilter::WARN));
    let logging = Logging {
        recent,
        level,
        overridden,
    };
    Ok((subscriber, logging))
}

fn level_filter(level: Level) -> EnvFilter {
    EnvFilter::default().add_directive(level.into())
}

/// Writes events.
struct Output {
    sink: Sink,
    now: Now,
}

enum Sink {
    Text {
        colour: bool,
    },
    Json,
    Journal(Journal),
    #[cfg(test)]
    Kept(Arc<std::sync::Mutex<Vec<String>>>, Box<Sink>),
}

impl Sink {
    fn choose(format: Format) -> Result<Self, LoggingError> {
        let text = || Self::Text {
            colour: std::io::stderr().is_terminal() && colour_wanted(std::env::var_os("NO_COLOR")),
        };
        match format {
            Format::Text => Ok(text()),
            Format::Json => Ok(Self::Json),
            Format::Journald => Journal::open().map(Self::Journal).map_err(LoggingError::Journal),
            Format::Auto if journal::has_our_stderr() => {
                // Text on standard error reaches the journal too, only without fields.
                Ok(Journal::open().map_or_else(|_| text(), Self::Journal))
            }
            Format::Auto => Ok(text()),
        }
    }

    fn render(&self, line: &Line, at: Timestamp) -> String {
        match self {
            Self::Text { colour } => render::text(line, at, *colour),
            Self::Json => render::json(line, at),
            Self::Journal(_) => render::text(line, at, false),
            #[cfg(test)]
            Self::Kept(_, like) => like.render(line, at),
        }
    }
}

/// <https://no-color.org>: set and not empty.
fn colour_wanted(no_color: Option<std::ffi::OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
}

impl<S: Subscriber> Layer<S> for Output {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        if let Sink::Journal(journal) = &self.sink
            && journal.send(&line).is_ok()
        {
            return;
        }
        let text = self.sink.render(&line, (self.now)());
        #[cfg(test)]
        if let Sink::Kept(kept, _) = &self.sink {
            kept.lock().unwrap().push(text);
            return;
        }
        // When even standard error is closed there is nobody left to tell.
        std::io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}
