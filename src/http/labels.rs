//! Labels with scores, as the protocols that answer so write them.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeMap as _;
use utoipa::ToSchema;

use crate::pipeline::{Answer, Pipeline};
use crate::registry::Entry;
use crate::value::Prediction;

/// One label and how likely it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Label {
    /// The label.
    #[schema(value_type = String, example = "positive")]
    label: Arc<str>,
    /// Its probability, 0 to 1; where raw scores were asked for, its logit.
    #[schema(example = 0.97)]
    score: f32,
}

/// The labels of an answer, best first.
pub(super) fn of(answer: Answer) -> Vec<Label> {
    written(answer.outcome.predictions)
}

/// The labels with their logits in place of scores, best first. `None` when a label has several.
pub(super) fn raw(entry: &Entry<Pipeline>, answer: &Answer) -> Option<Vec<Label>> {
    let logits = entry.handle.label_logits(&answer.logits)?;
    let labels = entry.handle.labels().iter().cloned();
    let mut labels: Vec<Label> = labels.zip(logits).map(|(label, score)| Label { label, score }).collect();
    // Stable, as scores are ordered: of equals the manifest's first comes first.
    labels.sort_by(|left, right| right.score.total_cmp(&left.score));
    Some(labels)
}

/// Predictions as they are written.
pub(super) fn written(predictions: Vec<Prediction>) -> Vec<Label> {
    predictions.into_iter().map(|Prediction { label, score }| Label { label, score }).collect()
}

/// Labels as the members of one object, best first: `{"positive": 0.97, "negative": 0.03}`.
#[derive(Debug)]
pub(super) struct ByLabel(pub(super) Vec<Label>);

impl Serialize for ByLabel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Label { label, score } in &self.0 {
            map.serialize_entry(&**label, score)?;
        }
        map.end()
    }
}

/// Labels as rows: `[["positive", 0.97], ["negative", 0.03]]`.
pub(super) fn rows(labels: Vec<Label>) -> Vec<(Arc<str>, f32)> {
    labels.into_iter().map(|Label { label, score }| (label, score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_in_every_form() {
        let label = |label: &str, score| Label { label: label.into(), score };
        let labels = || vec![label("b", 0.75), label("a", 0.25)];
        assert_eq!(
            serde_json::to_string(&labels()).unwrap(),
            r#"[{"label":"b","score":0.75},{"label":"a","score":0.25}]"#
        );
        assert_eq!(serde_json::to_string(&ByLabel(labels())).unwrap(), r#"{"b":0.75,"a":0.25}"#);
        assert_eq!(serde_json::to_string(&rows(labels())).unwrap(), r#"[["b",0.75],["a",0.25]]"#);
    }
}
