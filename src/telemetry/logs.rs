//! Structured logs on standard error.

use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::line::OneLine;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

impl LogFormat {
    /// `Auto` made up its mind.
    fn settled(self, terminal: bool) -> Self {
        match (self, terminal) {
            (Self::Auto, true) => Self::Text,
            (Self::Auto, false) => Self::Json,
            (chosen, _) => chosen,
        }
    }
}

/// Installs the process's log subscriber, once; `filter` as in `RUST_LOG` (`info`, `sconce=debug`). A second call
/// checks its filter and changes nothing. Panics, caught or not, are logged as errors from then on.
///
/// # Errors
/// The filter cannot be read.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    static INSTALLED: Once = Once::new();
    let filter = read_filter(filter)?;
    let format = format.settled(stderr().is_terminal());
    let said = filter.to_string();
    INSTALLED.call_once(|| {
        let (subscriber, refilter) = subscriber(format, filter, || OneLine(stderr()));
        let installed = tracing::subscriber::set_global_default(subscriber);
        if installed.is_ok() {
            let verbosity = Verbosity::of(&said);
            let _first = CONTROL.set(Control { refilter, said, verbosity: Mutex::new(verbosity) });
        }
        // Whoever set a subscriber of their own before wants their own panics as well.
        if installed.is_ok() {
            log_panics();
        }
    });
    Ok(())
}

fn read_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(filter).map_err(|error| {
        format!("log filter {filter:?}: {error}; expected such as \"info\" or \"sconce=debug\"")
    })
}

/// What is logged, as one level above the others: what is logged at a level is logged at every graver one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbosity {
    /// What goes on.
    pub info: bool,
    /// What may be wrong.
    pub warning: bool,
    /// What is wrong.
    pub error: bool,
    /// 0: nothing more; 1: what the server does; 2 and more: every step of it.
    pub verbose_level: u64,
}

impl Verbosity {
    /// That of a filter.
    fn of(filter: &str) -> Self {
        let level = filter.parse::<EnvFilter>().ok().and_then(|filter| filter.max_level_hint());
        let level = level.unwrap_or(LevelFilter::INFO);
        Self {
            info: level >= LevelFilter::INFO,
            warning: level >= LevelFilter::WARN,
            error: level >= LevelFilter::ERROR,
            verbose_level: match level {
                LevelFilter::TRACE => 2,
                LevelFilter::DEBUG => 1,
                _ => 0,
            },
        }
    }

    /// The filter that logs so much.
    fn filter(self) -> &'static str {
        match self {
            Self { verbose_level: 1, .. } => "sconce=debug,info",
            Self { verbose_level: 2.., .. } => "sconce=trace,info",
            Self { info: true, .. } => "info",
            Self { warning: true, .. } => "warn",
            Self { error: true, .. } => "error",
            _ => "off",
        }
    }
}

/// Changing what is logged, once a subscriber is installed.
struct Control {
    refilter: Refilter,
    /// The filter that the configuration says.
    said: String,
    verbosity: Mutex<Verbosity>,
}

static CONTROL: OnceLock<Control> = OnceLock::new();

/// What is logged now; what goes on, where no log was installed.
pub fn verbosity() -> Verbosity {
    let now = CONTROL.get().map(|control| *control.verbosity.lock().unwrap_or_else(PoisonError::into_inner));
    now.unwrap_or_else(|| Verbosity::of("info"))
}

/// Changes what is logged. What the configuration's filter logs comes back with the verbosity that it has.
///
/// # Errors
/// There is no log to change.
pub fn set_verbosity(wanted: Verbosity) -> Result<(), String> {
    if wanted == verbosity() {
        return Ok(());
    }
    let control = CONTROL.get().ok_or("there is no log to change")?;
    let filter = if wanted == Verbosity::of(&control.said) { &control.said } else { wanted.filter() };
    (control.refilter)(read_filter(filter)?)?;
    // What a level logs, every graver one logs.
    *control.verbosity.lock().unwrap_or_else(PoisonError::into_inner) = Verbosity::of(filter);
    Ok(())
}

/// Replaces the filter of a subscriber.
type Refilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The subscriber that writes events to `writer`, each with one write, and what replaces its filter. Text has no colours: the escape sequences of
/// colours and those that a caller smuggled in could not be told apart where they are escaped.
fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    writer: W,
) -> (Box<dyn Subscriber + Send + Sync>, Refilter)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    match format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_span_list(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let refilter = move |filter| handle.reload(filter).map_err(|error| error.to_string());
            (Box::new(builder.finish()), Box::new(refilter))
        }
        LogFormat::Auto | LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let refilter = move |filter| handle.reload(filter).map_err(|error| error.to_string());
            (Box::new(builder.finish()), Box::new(refilter))
        }
    }
}

/// A panic is a line in the log like any other, not text between the lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let said = panic.payload_as_str().unwrap_or("something that is not text");
        tracing::error!(place, thread = thread.name().unwrap_or_default(), "panicked: {said}");
    }));
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let written = Written::default();
        let sink = written.clone();
        let (subscriber, _) = subscriber(format, read_filter(filter).unwrap(), move || OneLine(sink.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_field_cannot_break_out_of_its_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, "info", || {
                let hostile = "x\n\x1b[31mERROR all is lost\u{9b}\r";
                tracing::info!(path = %hostile, body = ?hostile, "asked for {hostile}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(text.ends_with('\n'));
            assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_on_top() {
        let text = logged(LogFormat::Json, "info", || {
            let _span = tracing::info_span!("request", id = "r1").entered();
            tracing::warn!(model = "m", "refused");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["model"], &line["message"]),
            (&"WARN".into(), &"m".into(), &"refused".into())
        );
        assert_eq!(line["span"]["id"], "r1");
    }

    #[test]
    fn the_filter_filters_and_a_wrong_one_is_named() {
        assert_eq!(logged(LogFormat::Text, "warn", || tracing::info!("quiet")), "");
        let message = install_logs(LogFormat::Text, "sconce=loud").unwrap_err();
        assert!(message.contains("sconce=loud") && message.contains("sconce=debug"), "{message}");
    }

    #[test]
    fn a_filter_can_be_replaced_and_has_its_verbosity() {
        let written = Written::default();
        let sink = written.clone();
        let (subscriber, refilter) =
            subscriber(LogFormat::Text, read_filter("warn").unwrap(), move || OneLine(sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            refilter(read_filter("info").unwrap()).unwrap();
            tracing::info!("after");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("before") && text.contains("after"), "{text}");
        for filter in ["off", "error", "warn", "info", "sconce=debug,info", "sconce=trace,info"] {
            let verbosity = Verbosity::of(filter);
            assert_eq!(Verbosity::of(verbosity.filter()), verbosity, "{filter}");
        }
    }

    #[test]
    fn auto_is_text_on_a_terminal_only() {
        assert_eq!(LogFormat::Auto.settled(true), LogFormat::Text);
        assert_eq!(LogFormat::Auto.settled(false), LogFormat::Json);
        assert_eq!(LogFormat::Text.settled(false), LogFormat::Text);
    }
}
