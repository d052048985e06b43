//! Logs: readable on a terminal, JSON elsewhere; upstream data only in fields, and escaped. And
//! traces for whoever collects them: `otlp`.

mod lines;
pub mod otlp;

use std::io::{self, IsTerminal as _, Write};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::{Process, Vars as _};
use crate::{escape, trace};

/// Characters of one field that are logged at most.
const MAX_FIELD: usize = 2000;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("log filter {0:?} cannot be read: write \"info\" or \"kudzu_worker=debug,warn\"")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("logging was set up before")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Logs to standard error from now on. `filter` is as in `info` or
/// `kudzu_coordinator=debug,warn`.
///
/// # Errors
/// When the filter cannot be read, or logging was set up before.
pub fn init(filter: &str, format: Format) -> Result<(), Error> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let ansi = colours(terminal, Process.get("NO_COLOR").as_deref());
    let subscriber = subscriber(filter, json, ansi, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(Error::Twice)
}

/// Colours need a terminal, and nobody who refuses them (no-color.org).
fn colours(terminal: bool, no_color: Option<&str>) -> bool {
    terminal && no_color.is_none_or(str::is_empty)
}

/// What [`init`] installs, on any writer.
///
/// # Errors
/// When the filter cannot be read.
pub fn subscriber<W>(
    filter: &str,
    json: bool,
    ansi: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let read = |text: &str| EnvFilter::try_new(text).map_err(|e| Error::Filter(filter.to_owned(), e));
    read(filter)?;
    // It warns of messages that come back with all that is in them. Whatever else is left out,
    // lines know their trace. What is asked for still holds.
    let filter = read(&format!("lapin=error,{}=error,{filter}", trace::TARGET))?;
    let spans = tracing_subscriber::registry().with(lines::Ids);
    if json {
        let logs = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        let logs = logs.map_event_format(lines::Traced).with_writer(Harmless(writer));
        return Ok(Box::new(spans.with(logs).with(filter)));
    }
    let fields = fmt::format::debug_fn(|out, field, value| {
        // Formatted first: a value may hold what a terminal would obey.
        let text = format!("{value:?}");
        let text = escape::shorten(&text, MAX_FIELD);
        if field.name() == "message" { write!(out, "{text}") } else { write!(out, "{field}={text}") }
    });
    let logs = fmt::layer().with_ansi(ansi).fmt_fields(fields.delimited(" ")).with_writer(writer);
    Ok(Box::new(spans.with(logs).with(filter)))
}

/// Writes JSON lines with every hidden character as an escape of JSON; outside of strings
/// JSON has none of these.
struct Harmless<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Harmless<W> {
    type Writer = Harmless<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Harmless(self.0.make_writer())
    }
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line comes whole, so no character is cut in two.
        let text = String::from_utf8_lossy(line);
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            if c == '\n' || !escape::is_hidden(c) {
                out.push(c);
            } else {
                let units =
                    c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect::<String>();
                out.push_str(&units);
            }
        }
        self.0.write_all(out.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use kudzu_servers::Page;

    use super::*;

    const HOSTILE: &str = "a\x1b[31m\u{202e}b\u{200b}\u{e0041}\r\n<script>";

    fn logged(json: bool) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber("info", json, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("job", name = %HOSTILE).entered();
            tracing::info!(upstream = %HOSTILE, text = HOSTILE, "asked");
            tracing::info!("{HOSTILE}");
            tracing::debug!("not shown");
        });
        page.text().unwrap()
    }

    #[test]
    fn hostile_text_stays_in_its_field() {
        for json in [false, true] {
            let text = logged(json);
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(!text.chars().any(|c| c != '\n' && escape::is_hidden(c)), "{text:?}");
            assert!(text.contains("asked") && !text.contains("not shown"));
        }
    }

    #[test]
    fn json_gives_the_text_back() {
        let line = logged(true);
        let line: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        assert_eq!(line["upstream"], HOSTILE);
        assert_eq!(line["text"], HOSTILE);
    }

    /// Also those of a span within, and whatever the filter leaves out.
    #[test]
    fn every_line_of_a_job_has_its_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{id}-00f067aa0ba902b7-01");
        for (json, filter) in [(true, "info"), (false, "info"), (true, "error"), (true, "kudzu_shared=warn")]
        {
            let page = Page::default();
            let writer = page.clone();
            let subscriber = subscriber(filter, json, false, move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!("before");
                let job = trace::Span::job(Some(&parent), crate::job::JobId(7), 2);
                job.inside(|| {
                    tracing::error!("in it");
                    tracing::error_span!("within", task = "journal").in_scope(|| tracing::error!("deeper"));
                });
                tracing::error!("after");
            });
            let text = page.text().unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let with: Vec<bool> = lines.iter().map(|l| l.contains(id)).collect();
            assert_eq!(with, [false, true, true, false], "{filter}: {text}");
            if json {
                let line: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
                assert_eq!((&line["trace_id"], &line["span"]["task"]), (&id.into(), &"journal".into()));
            }
        }
    }

    #[test]
    fn colours_can_be_refused() {
        assert!(colours(true, None) && colours(true, Some("")));
        assert!(!colours(true, Some("1")) && !colours(false, None));
    }

    #[test]
    fn a_bad_filter_is_refused() {
        let failed = subscriber("kudzu=loud", true, false, io::sink).err().unwrap();
        assert!(failed.to_string().contains("kudzu=loud"));
    }
}
