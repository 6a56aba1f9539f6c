//! What a run came to, for machines (`metrics.json`) and for people (`report.html`, one file without any other).

mod confusion;
mod curves;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::evaluate::Figures;
use super::position::{EpochFigures, Position};
use super::progress::duration;

/// All that a report shows.
pub(crate) struct Report<'a> {
    /// The model's name.
    pub(crate) title: &'a str,
    /// The epochs.
    pub(crate) position: &'a Position,
    /// How the best weights answer the validation rows.
    pub(crate) figures: &'a Figures,
    /// The worst wrong answers.
    pub(crate) mistakes: Vec<Mistake>,
}

/// A wrong answer.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    /// Where in the data the row is.
    pub(crate) place: String,
    /// Its text.
    pub(crate) text: Option<String>,
    /// Its picture, small.
    pub(crate) picture_png: Option<Vec<u8>>,
    /// The labels it has.
    pub(crate) truth: String,
    /// The labels it was given.
    pub(crate) given: String,
    /// The score of the label given.
    pub(crate) score: Option<f32>,
    /// Its loss.
    pub(crate) loss: f64,
}

#[derive(Serialize)]
struct Metrics<'a> {
    model: &'a str,
    best_epoch: u64,
    epochs: u64,
    steps: u64,
    seconds: f64,
    validation: &'a Figures,
    history: &'a [EpochFigures],
}

/// `metrics.json`.
pub(crate) fn metrics(report: &Report<'_>) -> Result<Vec<u8>, String> {
    let metrics = Metrics {
        model: report.title,
        best_epoch: report.position.best.unwrap_or_default().epoch,
        epochs: report.position.epoch,
        steps: report.position.step,
        seconds: report.position.seconds,
        validation: report.figures,
        history: &report.position.history,
    };
    serde_json::to_vec_pretty(&metrics).map_err(|error| error.to_string())
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --train: #d97706; --valid: #2563eb; --heat: 37 99 235; }
@media (prefers-color-scheme: dark) { :root { --train: #fbbf24; --valid: #60a5fa; --heat: 96 165 250; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
td { text-align: right; } th, td.text { text-align: left; } td.text { overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 40rem; } .row { display: flex; flex-wrap: wrap; gap: 2rem; }
svg { max-width: 100%; height: auto; } svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.train { color: var(--train); } .valid { color: var(--valid); } img { image-rendering: pixelated; max-width: 96px; }
";

/// `report.html`.
pub(crate) fn html(report: &Report<'_>) -> String {
    let figures = report.figures;
    let best = report.position.best.unwrap_or_default();
    let mut page = String::new();
    // Writing to a string never fails.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}: training report</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n<p>Accuracy <b>{:.4}</b>, macro-F1 <b>{:.4}</b>, loss <b>{:.4}</b> \
         on {} validation rows. Best epoch {} of {}; {} of training.</p>\n",
        figures.accuracy,
        figures.macro_f1,
        figures.loss,
        figures.rows,
        best.epoch,
        report.position.epoch,
        duration(report.position.seconds),
        title = escape(report.title),
    );
    page.push_str(&curves::html(&report.position.history, best.epoch));
    page.push_str(&confusion::html(figures));
    page.push_str(&classes(figures));
    page.push_str(&mistakes(&report.mistakes));
    page
}

fn classes(figures: &Figures) -> String {
    let mut html = String::from(
        "<h2>Labels</h2>\n<div class=\"scroll\"><table><tr><th>label<th>precision<th>recall<th>F1<th>rows</tr>\n",
    );
    for class in &figures.per_class {
        let _ = writeln!(
            html,
            "<tr><td class=\"text\">{}<td>{:.3}<td>{:.3}<td>{:.3}<td>{}</tr>",
            escape(&class.label),
            class.precision,
            class.recall,
            class.f1,
            class.support
        );
    }
    html.push_str("</table></div>\n");
    html
}

fn mistakes(mistakes: &[Mistake]) -> String {
    if mistakes.is_empty() {
        return "<h2>Mistakes</h2>\n<p>None.</p>\n".to_owned();
    }
    let mut html = String::from(
        "<h2>The worst mistakes</h2>\n<table><tr><th>input<th>has<th>was given<th>score<th>loss<th>from</tr>\n",
    );
    for mistake in mistakes {
        let input = match (&mistake.picture_png, &mistake.text) {
            (Some(png), _) => {
                format!("<img alt=\"\" src=\"data:image/png;base64,{}\">", STANDARD.encode(png))
            }
            (None, text) => escape(text.as_deref().unwrap_or_default()),
        };
        let score = mistake.score.map(|score| format!("{score:.3}")).unwrap_or_default();
        let _ = writeln!(
            html,
            "<tr><td class=\"text\">{input}<td class=\"text\">{}<td class=\"text\">{}<td>{score}<td>{:.3}\
             <td class=\"text\">{}</tr>",
            escape(&mistake.truth),
            escape(&mistake.given),
            mistake.loss,
            escape(&mistake.place)
        );
    }
    html.push_str("</table>\n");
    html
}

/// Text as HTML, safe in content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::{ClassFigures, Confusion};
    use super::super::position::Best;
    use super::*;

    fn figures() -> Figures {
        let class = |label: &str| ClassFigures {
            label: label.into(),
            precision: 0.5,
            recall: 1.0,
            f1: 0.667,
            support: 2,
        };
        Figures {
            rows: 4,
            loss: 0.25,
            accuracy: 0.75,
            macro_f1: 0.6,
            labels: vec!["<a>".into(), "b".into()],
            per_class: vec![class("<a>"), class("b")],
            confusion: Confusion::Matrix(vec![vec![2, 0], vec![1, 1]]),
        }
    }

    fn with_report<T>(show: impl FnOnce(&Report<'_>) -> T) -> T {
        let epoch = |epoch| EpochFigures { epoch, train_loss: 1.0 / epoch as f64, ..EpochFigures::default() };
        let position = Position {
            history: vec![epoch(1), epoch(2)],
            best: Some(Best { epoch: 2, figure: 0.75 }),
            ..Position::default()
        };
        let mistake = Mistake {
            place: "a.tsv:7".into(),
            text: Some("<script>alert(1)</script>".into()),
            picture_png: None,
            truth: "b".into(),
            given: "<a>".into(),
            score: Some(0.9),
            loss: 2.3,
        };
        let pictured = Mistake { text: None, picture_png: Some(vec![1, 2, 3]), ..mistake.clone() };
        let figures = figures();
        let mistakes = vec![mistake, pictured];
        show(&Report { title: "demo", position: &position, figures: &figures, mistakes })
    }

    #[test]
    fn the_page_stands_alone_and_escapes_what_it_shows() {
        let page = with_report(html);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(page.contains("data:image/png;base64,AQID"));
        for part in
            ["<svg", "Confusion", "precision", "The worst mistakes", "a.tsv:7", "0.7500", "Best epoch 2"]
        {
            assert!(page.contains(part), "{part}");
        }
        for external in ["http://", "https://", "src=\"/", "@import", "url("] {
            assert!(!page.contains(external), "{external}");
        }
    }

    #[test]
    fn metrics_hold_every_epoch_and_the_figures() {
        let metrics: serde_json::Value =
            serde_json::from_slice(&with_report(|report| metrics(report).unwrap())).unwrap();
        assert_eq!(metrics["history"].as_array().unwrap().len(), 2);
        assert_eq!(metrics["validation"]["accuracy"], 0.75);
        assert_eq!(metrics["validation"]["confusion"][1][0], 1);
        assert_eq!(metrics["best_epoch"], 2);
    }
}
