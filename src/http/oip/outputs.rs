//! From answers to output tensors, as numbers or as classes.

use super::datatype::Datatype;
use super::errors::invalid;
use super::request::RequestedOutput;
use super::signature::{LABEL, SCORE, SCORES, Signature};
use super::tensor::Tensor;
use crate::http::problem::Problem;
use crate::pipeline::Answer;

/// The outputs that a request is answered with: those it names, or all.
///
/// # Errors
/// An output that there is not, or one that has no classes.
pub(super) fn wanted(
    model: &str,
    signature: &Signature,
    asked: &[RequestedOutput],
) -> Result<Vec<RequestedOutput>, Problem> {
    if asked.is_empty() {
        let all = signature.outputs.iter();
        return Ok(all.map(|port| RequestedOutput { name: port.name.to_owned(), classes: 0 }).collect());
    }
    let mut wanted: Vec<RequestedOutput> = Vec::with_capacity(asked.len().min(signature.outputs.len()));
    for output in asked {
        let name = &output.name;
        let Some(port) = signature.outputs.iter().find(|port| port.name == name) else {
            return Err(invalid(format!("unexpected inference output '{name}' for model '{model}'")));
        };
        if output.classes > 0 && port.datatype == Datatype::Bytes {
            let detail = "class result not available for output due to unsupported type 'BYTES'";
            return Err(invalid(detail));
        }
        // Named twice it is answered once.
        if !wanted.iter().any(|other| other.name == *name) {
            wanted.push(output.clone());
        }
    }
    Ok(wanted)
}

/// The tensors of these outputs; `labels` in the order of the scores.
pub(super) fn of_answers(wanted: &[RequestedOutput], labels: &[String], answers: &[Answer]) -> Vec<Tensor> {
    wanted.iter().map(|output| of_answer(output, labels, answers)).collect()
}

fn of_answer(output: &RequestedOutput, labels: &[String], answers: &[Answer]) -> Tensor {
    let (name, rows) = (output.name.as_str(), length(answers.len()));
    let best = |answer: &Answer| answer.outcome.predictions.first().cloned();
    let scores = |answer: &Answer| match name {
        SCORES => answer.outcome.scores.clone(),
        _ => best(answer).map(|best| best.score).into_iter().collect(),
    };
    if output.classes > 0 {
        let named = if name == SCORES { labels } else { &[] };
        let rows: Vec<Vec<f32>> = answers.iter().map(scores).collect();
        return classes(name, output.classes, named, &rows);
    }
    match name {
        LABEL => {
            let labels = answers.iter().filter_map(best).map(|best| best.label.as_bytes().to_vec());
            Tensor::of_bytes(LABEL, vec![rows], labels)
        }
        SCORE => Tensor::of_f32(SCORE, vec![rows], answers.iter().flat_map(scores)),
        _ => Tensor::of_f32(name, vec![rows, length(labels.len())], answers.iter().flat_map(scores)),
    }
}

/// The best `count` numbers of each row as `value:index:label`, best first, the lower index first among equals.
pub(super) fn classes(name: &str, count: usize, labels: &[String], rows: &[Vec<f32>]) -> Tensor {
    let width = rows.first().map_or(0, Vec::len).min(count);
    let texts = rows.iter().flat_map(|row| {
        let mut ranked: Vec<(usize, f32)> = row.iter().copied().enumerate().collect();
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        let best = ranked.into_iter().take(width);
        best.map(|(index, value)| match labels.get(index) {
            Some(label) => format!("{value:.6}:{index}:{label}"),
            None => format!("{value:.6}:{index}"),
        })
    });
    Tensor::of_bytes(name, vec![length(rows.len()), length(width)], texts)
}

/// A count as a dimension.
fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
