//! `sconce evaluate`: how well a model answers rows whose labels are known.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::place::Place;
use super::{Failure, output};
use crate::model;
use crate::train::BadRows;
use crate::train::evaluate::{Confusion, EvaluateError, Evaluation, evaluate};

/// Says how well a model answers data whose labels are known
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// models/NAME, whose latest version it is, or models/NAME/VERSION
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// The data, of the same kinds that training reads
    #[arg(long, value_name = "PATH")]
    data: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Pass over bad rows and count them, instead of stopping at the first
    #[arg(long)]
    skip_bad_rows: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = Place::find(&arguments.model)?.directory;
    let model = model::load(&directory).map_err(Failure::data)?;
    let bad_rows = if arguments.skip_bad_rows { BadRows::Skip } else { BadRows::Stop };
    let evaluation = evaluate(&model, &arguments.data, bad_rows).map_err(|error| match error {
        EvaluateError::Data(error) => Failure::data(error),
        EvaluateError::Failed(_) => Failure::failed(error),
    })?;
    if arguments.skip_bad_rows {
        output::complain(&format!("{} bad rows passed over", evaluation.skipped));
    }
    if arguments.json {
        let json = serde_json::to_string_pretty(&evaluation).map_err(Failure::failed)?;
        return output::print(&json);
    }
    output::print(&shown(&evaluation, &directory))
}

/// The figures for people.
fn shown(evaluation: &Evaluation, directory: &Path) -> String {
    let figures = &evaluation.figures;
    let mut text = format!(
        "{}: {} rows\naccuracy  {:.4}\nmacro-F1  {:.4}\nloss      {:.4}\n\n",
        directory.display(),
        figures.rows,
        figures.accuracy,
        figures.macro_f1,
        figures.loss,
    );
    let longest = figures.labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(5);
    // Writing to a string never fails.
    let _ = writeln!(text, "{:longest$}  precision  recall      F1    rows", "label");
    for class in &figures.per_class {
        let _ = writeln!(
            text,
            "{:longest$}  {:9.4}  {:6.4}  {:6.4}  {:6}",
            class.label, class.precision, class.recall, class.f1, class.support
        );
    }
    if let Some(agreeing) = evaluation.labels_agree_with_f32 {
        let _ = writeln!(text, "\nlabels agree with f32: {agreeing} of {}", figures.rows);
    }
    if let Confusion::Matrix(matrix) = &figures.confusion {
        text.push_str(&confusion(&figures.labels, matrix, longest));
    }
    text
}

/// Labels that a whole confusion matrix is printed for.
const MATRIX_LABELS_MAX: usize = 12;
/// Confused pairs printed for more labels.
const PAIRS_MAX: usize = 20;

/// The matrix where it fits a terminal, else the pairs most often confused.
fn confusion(labels: &[String], matrix: &[Vec<u64>], longest: usize) -> String {
    let mut text = String::new();
    if labels.len() <= MATRIX_LABELS_MAX {
        text.push_str("\nconfusion (a row is a true label, a column the label given, in the same order)\n");
        for (label, row) in labels.iter().zip(matrix) {
            let _ = write!(text, "{label:longest$} ");
            for count in row {
                let _ = write!(text, " {count:6}");
            }
            text.push('\n');
        }
        return text;
    }
    let mut pairs: Vec<(u64, &String, &String)> = Vec::new();
    for (truth, row) in labels.iter().zip(matrix) {
        pairs.extend(labels.iter().zip(row).map(|(given, count)| (*count, truth, given)));
    }
    pairs.retain(|(count, truth, given)| *count > 0 && truth != given);
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0));
    text.push_str("\nmost often confused (rows, true label, label given; the whole matrix: --json)\n");
    for (count, truth, given) in pairs.into_iter().take(PAIRS_MAX) {
        let _ = writeln!(text, "{count:6}  {truth:longest$}  {given}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_labels_are_shown_by_their_confused_pairs() {
        let labels: Vec<String> = (0..13).map(|label| format!("L{label}")).collect();
        let mut matrix = vec![vec![0; 13]; 13];
        matrix[3][3] = 50;
        matrix[3][4] = 2;
        matrix[5][6] = 7;
        let text = confusion(&labels, &matrix, 5);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines, ["     7  L5     L6", "     2  L3     L4"]);
    }
}
