//! Loss and accuracy by epoch, as SVG.

use std::fmt::Write as _;

use super::super::position::EpochFigures;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 46.0;
const EDGE: f64 = 18.0;

/// A named figure of an epoch.
type Series = (&'static str, fn(&EpochFigures) -> f64);

/// The two charts, side by side where there is room.
pub(super) fn html(history: &[EpochFigures], best_epoch: u64) -> String {
    let loss: [Series; 2] = [("train", |epoch| epoch.train_loss), ("valid", |epoch| epoch.valid_loss)];
    let accuracy: [Series; 2] =
        [("train", |epoch| epoch.train_accuracy), ("valid", |epoch| epoch.valid_accuracy)];
    format!(
        "<h2>Epochs</h2>\n<p><span class=\"train\">&#9632; training, as seen</span> \
         <span class=\"valid\">&#9632; validation</span>; the dashed line is the best epoch.</p>\n\
         <div class=\"row\">{}{}</div>\n",
        chart("Loss", history, &loss, best_epoch),
        chart("Accuracy", history, &accuracy, best_epoch),
    )
}

fn chart(title: &str, history: &[EpochFigures], series: &[Series; 2], best_epoch: u64) -> String {
    let values =
        || series.iter().flat_map(|(_, of)| history.iter().map(of)).filter(|value| value.is_finite());
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = match low.total_cmp(&high) {
        std::cmp::Ordering::Less => (low, high),
        std::cmp::Ordering::Equal => (low - 0.5, low + 0.5),
        std::cmp::Ordering::Greater => (0.0, 1.0),
    };
    let last = history.len().max(2) as f64;
    let x = |epoch: u64| LEFT + (epoch as f64 - 1.0) / (last - 1.0) * (WIDTH - LEFT - EDGE);
    let y = |value: f64| HEIGHT - EDGE - (value - low) / (high - low) * (HEIGHT - 2.0 * EDGE);
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"{title} by epoch\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\"><text x=\"{LEFT}\" y=\"12\">{title}</text>"
    );
    for share in [0.0, 0.5, 1.0] {
        let value = low + (high - low) * share;
        // Writing to a string never fails.
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"2\" y=\"{:.1}\">{value:.3}</text>",
            WIDTH - EDGE,
            y(value),
            y(value),
            y(value) + 4.0
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{EDGE}\" y2=\"{1}\" stroke=\"currentColor\" stroke-dasharray=\"3 3\"/>\
         <text x=\"{2}\" y=\"{3}\" text-anchor=\"end\">epoch {4}</text>",
        x(best_epoch.max(1)),
        HEIGHT - EDGE,
        WIDTH - EDGE,
        HEIGHT - 4.0,
        history.len(),
    );
    for (class, of) in series {
        let points: Vec<String> = history
            .iter()
            .filter(|epoch| of(epoch).is_finite())
            .map(|epoch| format!("{:.1},{:.1}", x(epoch.epoch), y(of(epoch))))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"{class}\" points=\"{}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"/>",
            points.join(" ")
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_have_a_point_an_epoch_within_the_picture() {
        let epoch = |epoch: u64| EpochFigures {
            epoch,
            train_loss: 2.0 / epoch as f64,
            valid_loss: f64::NAN,
            ..EpochFigures::default()
        };
        let history: Vec<_> = (1..=5).map(epoch).collect();
        let svg = chart("Loss", &history, &[("train", |e| e.train_loss), ("valid", |e| e.valid_loss)], 3);
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(points.split(' ').count(), 5);
        assert!(points.starts_with("46.0,18.0 ") && points.ends_with(" 462.0,202.0"), "{points}");
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn one_epoch_or_none_is_drawn_too() {
        for count in [0, 1] {
            let history = vec![EpochFigures { epoch: 1, ..EpochFigures::default() }; count];
            let html = html(&history, 1);
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }
}
