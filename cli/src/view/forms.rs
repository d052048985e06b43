//! Results of a cluster in the forms of the command line: for its API, and for `kudzu get`.

use std::io::{self, Write};

use anyhow::Context as _;
use bytes::Bytes;
use kudzu_coordinator::api::forms::{self, Form, Kept, Wanted};
use kudzu_coordinator::api::views::{Job, Outcome as Came, State};
use kudzu_coordinator::model::Coverage;
use kudzu_coordinator::rank::Candidate;
use kudzu_coordinator::tree::read::Read;
use kudzu_shared::observable::Observable;

use super::json::escaped;
use super::page::{self, Look, Seen};
use crate::console::Style;
use crate::results::{Ran, Summary};

/// Columns of a text that is not for this terminal.
const COLUMNS: usize = 160;

/// A result without its tree.
pub struct Given {
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// What was asked, and what came of it.
    pub coverage: Coverage,
    came: Came,
    ran: Ran,
    partial: Option<String>,
}

impl Given {
    /// What a job says of its result.
    ///
    /// # Errors
    /// When it says what this program does not understand.
    pub fn new(
        job: &Job,
        came: &Came,
        candidates: Vec<Candidate>,
        coverage: Coverage,
    ) -> anyhow::Result<Self> {
        let progress = job.progress.clone().unwrap_or_default();
        let ran = Ran {
            progress: serde_json::from_value(progress).context("read the job's progress")?,
            figures: serde_json::from_value(came.figures.clone()).context("read the job's figures")?,
        };
        let partial = (job.state == State::Partial).then(|| job.reason.clone().unwrap_or_default());
        Ok(Self { candidates, coverage, came: came.clone(), ran, partial })
    }

    /// Its figures.
    pub fn summary(&self) -> Summary<'_> {
        Summary::of(&self.came, self.partial.clone(), &self.ran, &self.coverage)
    }

    /// Writes it in a form.
    ///
    /// # Errors
    /// Those of the lines and the writer.
    pub fn write(
        &self,
        out: &mut dyn Write,
        form: Form,
        lines: &mut dyn Iterator<Item = io::Result<Bytes>>,
        (look, under): (Look, Option<&Observable>),
    ) -> io::Result<()> {
        let summary = self.summary();
        let mut pieces = lines;
        match form {
            Form::Ndjson => (&mut pieces).try_for_each(|piece| out.write_all(&piece?)),
            Form::Json => page::document(
                out,
                |tree| (&mut pieces).try_for_each(|piece| tree.write_all(&piece?)),
                |()| Ok([escaped(&self.candidates)?, escaped(&summary)?]),
            ),
            Form::Csv | Form::Text => {
                let mut tree = Read::default();
                (&mut pieces).try_for_each(|piece| tree.take(&piece?).map_err(io::Error::other))?;
                let tree = tree.end().map_err(io::Error::other)?;
                let (candidates, stubs) = (&self.candidates[..], self.came.stubs);
                let seen = Seen { tree: &tree, candidates, summary: &summary, stubs };
                match form {
                    Form::Csv => page::csv(out, &seen, look.defang),
                    _ => page::terminal(out, &seen, look, under),
                }
            }
        }
    }
}

/// The forms, for the API.
pub struct Forms;

impl forms::Forms for Forms {
    fn write(&self, wanted: Wanted, kept: Kept<'_>, out: &mut dyn Write) -> io::Result<()> {
        let came = kept.job.result.as_ref().ok_or_else(|| io::Error::other("the job has no result"))?;
        let candidates = serde_json::from_slice(kept.candidates)?;
        let coverage = serde_json::from_value(kept.coverage.clone())?;
        let given = Given::new(kept.job, came, candidates, coverage).map_err(io::Error::other)?;
        let style = Style { colour: false, width: COLUMNS };
        let look = Look { style, defang: wanted.defang, full: wanted.full, depth: None };
        given.write(out, wanted.format, kept.lines, (look, None))
    }
}
