//! The result of a cluster's job, in the form that was asked for.

use std::io::Write as _;

use anyhow::Context as _;
use kudzu_coordinator::api::forms::Form;
use kudzu_coordinator::api::views::{Job, Outcome as Came};
use kudzu_coordinator::model::Coverage;
use kudzu_coordinator::rank::Candidate;
use kudzu_shared::observable::Observable;
use sha2::{Digest as _, Sha256};

use super::output;
use crate::args::job::{OutputArgs, ResultFormat};
use crate::console::{self, tell};
use crate::exit::{Failure, Outcome};
use crate::remote::Remote;
use crate::results::Folder;
use crate::view::forms::Given;
use crate::view::page;

/// Fetches a result, checks it against its digest, and shows it.
///
/// # Errors
/// When the job is dead, or its result cannot be fetched whole.
pub async fn present(
    remote: &Remote,
    job: &Job,
    args: &OutputArgs,
    (folder, under): (Option<&Folder>, Option<&Observable>),
    quiet: bool,
) -> Outcome {
    let Some(came) = &job.result else {
        let reason = job.reason.as_deref().unwrap_or("it has no result");
        return Err(Failure::failed(format!("job {} is dead: {reason}", job.id)));
    };
    let tree = tree(remote, job, came).await?;
    let candidates: Vec<Candidate> = remote.part(&job.id, "/candidates").await?;
    let coverage: Coverage = remote.part(&job.id, "/coverage").await?;
    let given = Given::new(job, came, candidates, coverage)?;
    tokio::task::block_in_place(|| {
        if let Some(folder) = folder {
            folder.keep(&tree, &given.candidates, &given.summary())?;
        }
        match show(tree, &given, came.stubs, args, under, quiet) {
            // Who reads has enough.
            Err(failure) if failure.is_closed_pipe() => {}
            shown => shown?,
        }
        output::ended(given.summary().state, &given.coverage)
    })
}

async fn tree(remote: &Remote, job: &Job, came: &Came) -> Result<Vec<u8>, Failure> {
    let mut response = remote.tree(&job.id).await?;
    let mut hash = Sha256::new();
    let mut tree = Vec::new();
    while let Some(piece) = response.chunk().await.context("fetch the tree")? {
        hash.update(&piece);
        tree.extend_from_slice(&piece);
    }
    let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if digest != came.sha256 {
        return Err(Failure::failed("the tree that came is not the job's: it was cut off, try again"));
    }
    Ok(tree)
}

fn show(
    tree: Vec<u8>,
    given: &Given,
    stubs: u64,
    args: &OutputArgs,
    under: Option<&Observable>,
    quiet: bool,
) -> Result<(), Failure> {
    let mut out = console::stdout();
    let form = match args.format {
        ResultFormat::Ndjson => Form::Ndjson,
        ResultFormat::Json => Form::Json,
        ResultFormat::Csv => Form::Csv,
        ResultFormat::Tree => Form::Text,
    };
    let mut lines = std::iter::once(Ok(tree.into()));
    given.write(&mut out, form, &mut lines, (output::look(args), under))?;
    out.flush()?;
    if !quiet {
        if args.format != ResultFormat::Tree {
            page::closing(&given.summary(), stubs).iter().for_each(|line| tell(line));
        }
        if let Some(path) = &args.out {
            tell(&format!("result in {}", path.display()));
        }
    }
    Ok(())
}
