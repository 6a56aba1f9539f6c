//! What the platform takes away from a job: lines that it reads metrics from, files beside the model, a failure.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::super::super::{Failure, output};
use super::job::Job;
use crate::limits::FAILURE_CHARACTERS_MAX;
use crate::model;
use crate::train::evaluate::{EvaluateError, Evaluation, Figures, evaluate};
use crate::train::session::Finished;
use crate::train::{DataError, EpochFigures, Interrupt};

/// Says what an epoch came to.
pub(super) fn tell_epoch(figures: &EpochFigures) {
    let line = format!(
        "epoch={}; train:loss={}; train:accuracy={}; validation:loss={}; validation:accuracy={}; \
         validation:macro_f1={};",
        figures.epoch,
        figures.train_loss,
        figures.train_accuracy,
        figures.valid_loss,
        figures.valid_accuracy,
        figures.valid_macro_f1
    );
    tell(&line);
}

/// Says what the run came to, tests it, and puts the report beside the model. What of that cannot be done is said in the
/// log: it is no reason to lose a model that is trained.
pub(super) fn report(job: &Job, finished: &Finished, interrupt: &Interrupt) {
    for line in &finished.summary {
        tell(line);
    }
    tell(&metrics("model", &finished.figures));
    if let Err(error) = write_reports(job, finished, interrupt) {
        output::complain(&format!("{}: {error}", job.output.display()));
    }
}

fn write_reports(job: &Job, finished: &Finished, interrupt: &Interrupt) -> std::io::Result<()> {
    fs::create_dir_all(&job.output)?;
    for name in ["metrics.json", "report.html"] {
        fs::copy(finished.directory.join(name), job.output.join(name))?;
    }
    // Who is asked to end has little time left.
    if let Some(data) = job.test.as_deref().filter(|_| !interrupt.is_set()) {
        fs::write(job.output.join("test.json"), test(job, &finished.directory, data))?;
    }
    Ok(())
}

/// One line on standard output. Nobody may be listening; the job goes on.
fn tell(line: &str) {
    output::print(line).ok();
}

/// How the model answers the test data, as JSON; or why not, there and in the log.
fn test(job: &Job, directory: &Path, data: &Path) -> String {
    let tested = model::load(directory)
        .map_err(|error| error.to_string())
        .and_then(|model| evaluate(&model, data, job.options.bad_rows).map_err(|error| problem(&error)));
    let value = match &tested {
        Ok(Evaluation { figures, .. }) => {
            tell(&metrics("test", figures));
            json!(figures)
        }
        Err(problem) => {
            output::complain(&format!("the model is not tested: {problem}"));
            json!({"error": problem})
        }
    };
    format!("{value:#}\n")
}

/// Why there are no figures, without flags, which a job does not have.
fn problem(error: &EvaluateError) -> String {
    match error {
        EvaluateError::Data(DataError::BadRow { place, problem }) => format!("{place}: {problem}"),
        other => other.to_string(),
    }
}

/// The figures in the form that the platform's regular expressions find.
fn metrics(of: &str, figures: &Figures) -> String {
    let Figures { loss, accuracy, macro_f1, rows, .. } = figures;
    format!("{of}:loss={loss}; {of}:accuracy={accuracy}; {of}:macro_f1={macro_f1}; {of}:rows={rows};")
}

/// Writes a failure to where the platform reads it, no longer than what it shows.
pub(super) fn write_failure(base: &Path, failure: &Failure) {
    let hint = failure.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let room = FAILURE_CHARACTERS_MAX.saturating_sub(hint.chars().count());
    let text: String = failure.message.chars().take(room).chain(hint.chars()).collect();
    let folder = base.join("output");
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("failure"), text)) {
        output::complain(&format!("{}: {error}", folder.join("failure").display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_failure_is_cut_and_its_hint_is_not() {
        let base = tempfile::tempdir().unwrap();
        write_failure(base.path(), &Failure::data("ä".repeat(2000)).hint("do this"));
        let text = fs::read_to_string(base.path().join("output/failure")).unwrap();
        assert_eq!(text.chars().count(), 1024);
        assert!(text.starts_with("ää") && text.ends_with("\nhint: do this"), "{text}");
    }
}
