//! The confusion matrix: a table while it fits a screen, above that a heat map; and the pairs most often confused.

use std::fmt::Write as _;

use super::super::evaluate::{Confusion, Figures};
use super::escape;

/// Labels that a table of numbers is drawn for.
const TABLE_LABELS_MAX: usize = 24;
/// Labels that a heat map is drawn for: 500 × 500 cells, the empty ones left out.
const HEAT_LABELS_MAX: usize = 500;
const PAIRS_MAX: usize = 20;

/// The section; nothing for a multi-label model, whose labels are in the table of labels.
pub(super) fn html(figures: &Figures) -> String {
    let Confusion::Matrix(matrix) = &figures.confusion else { return String::new() };
    let mut html =
        String::from("<h2>Confusion</h2>\n<p>A row is a true label, a column the label given.</p>\n");
    let labels = matrix.len();
    html.push_str("<div class=\"row\"><div class=\"scroll\">");
    if labels <= TABLE_LABELS_MAX {
        html.push_str(&table(&figures.labels, matrix));
    } else if labels <= HEAT_LABELS_MAX {
        html.push_str(&heat_map(&figures.labels, matrix));
    }
    html.push_str("</div>");
    html.push_str(&pairs(&figures.labels, matrix));
    html.push_str("</div>\n");
    html
}

fn table(labels: &[String], matrix: &[Vec<u64>]) -> String {
    let mut html = String::from("<table><tr><th>");
    for label in labels {
        // Writing to a string never fails.
        let _ = write!(html, "<th>{}", escape(label));
    }
    html.push_str("</tr>\n");
    for (label, row) in labels.iter().zip(matrix) {
        let _ = write!(html, "<tr><th>{}", escape(label));
        for count in row {
            let _ =
                write!(html, "<td style=\"background:rgb(var(--heat) / {:.2})\">{count}", share(*count, row));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>");
    html
}

fn heat_map(labels: &[String], matrix: &[Vec<u64>]) -> String {
    let side = labels.len();
    let mut svg = format!(
        "<svg role=\"img\" aria-label=\"confusion matrix\" width=\"600\" height=\"600\" viewBox=\"0 0 {side} {side}\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"none\" stroke=\"var(--line)\" stroke-width=\".3\"/>"
    );
    for (y, (label, row)) in labels.iter().zip(matrix).enumerate() {
        for (x, (given, count)) in labels.iter().zip(row).enumerate().filter(|(_, (_, count))| **count > 0) {
            let _ = write!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"1\" height=\"1\" fill=\"rgb(var(--heat) / {:.2})\">\
                 <title>{} given {}: {count}</title></rect>",
                0.2 + 0.8 * share(*count, row),
                escape(label),
                escape(given)
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn pairs(labels: &[String], matrix: &[Vec<u64>]) -> String {
    let mut pairs: Vec<(u64, &String, &String)> = Vec::new();
    for (y, (truth, row)) in labels.iter().zip(matrix).enumerate() {
        for (x, (given, count)) in labels.iter().zip(row).enumerate() {
            if x != y && *count > 0 {
                pairs.push((*count, truth, given));
            }
        }
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0));
    let mut html =
        String::from("<div><h3>Most often confused</h3><table><tr><th>has<th>was given<th>rows</tr>\n");
    for (count, truth, given) in pairs.into_iter().take(PAIRS_MAX) {
        let (truth, given) = (escape(truth), escape(given));
        let _ = writeln!(html, "<tr><td class=\"text\">{truth}<td class=\"text\">{given}<td>{count}</tr>");
    }
    html.push_str("</table></div>");
    html
}

/// A cell's share of its row.
fn share(count: u64, row: &[u64]) -> f64 {
    count as f64 / row.iter().sum::<u64>().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(labels: usize) -> Figures {
        let mut matrix = vec![vec![0; labels]; labels];
        for (index, row) in matrix.iter_mut().enumerate() {
            row[index] = 9;
        }
        matrix[0][1] = 3;
        matrix[1][0] = 5;
        Figures {
            rows: 0,
            loss: 0.0,
            accuracy: 0.0,
            macro_f1: 0.0,
            labels: (0..labels).map(|label| format!("L{label}")).collect(),
            per_class: Vec::new(),
            confusion: Confusion::Matrix(matrix),
        }
    }

    #[test]
    fn few_labels_are_a_table_and_many_a_heat_map() {
        let few = html(&figures(10));
        assert!(few.contains("<td style=\"background:rgb(var(--heat) / 0.75)\">9") && !few.contains("<svg"));
        let many = html(&figures(150));
        assert!(many.contains("<title>L1 given L0: 5</title>"));
        // The matrix has 150 cells on its diagonal and two beside it, and a frame.
        assert_eq!(many.matches("<rect").count(), 153);
    }

    #[test]
    fn the_most_confused_pair_comes_first() {
        let html = html(&figures(3));
        let (first, second) =
            (html.find("L1<td class=\"text\">L0<td>5"), html.find("L0<td class=\"text\">L1<td>3"));
        assert!(first.unwrap() < second.unwrap());
    }
}
