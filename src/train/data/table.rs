//! Tables: `.tsv` without quoting, `.csv` with, both with a header; `.jsonl`, an object a line.

use std::path::Path;

use serde::Deserialize;
use sha2::Digest as _;

use super::{Collector, DataError, Source, entries, read_file};
use crate::name::nearest;

/// Reads a table of texts; its extension says which kind.
pub(super) fn texts(path: &Path, collector: &mut Collector) -> Result<(), DataError> {
    let mut take = |collector: &mut Collector, text: String, labels: Vec<String>, place: String| {
        collector.good(Source::Text(text), labels, place)
    };
    match extension(path).as_str() {
        "tsv" => tsv(path, collector, &mut take),
        "csv" => csv(path, "text", collector, &mut take),
        "jsonl" => jsonl(path, collector),
        other => {
            Err(DataError::unusable(path, format!("extension {other:?}, expected .tsv, .csv or .jsonl")))
        }
    }
}

/// Reads every table of texts in a folder, in the order of their names; those that begin with `_` are what other
/// programs leave beside data (`_SUCCESS`).
pub(super) fn folder(root: &Path, collector: &mut Collector) -> Result<(), DataError> {
    let mut tables = 0;
    for file in entries(root)? {
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_')) {
            continue;
        }
        if file.is_file() && ["tsv", "csv", "jsonl"].contains(&extension(&file).as_str()) {
            tables += 1;
            texts(&file, collector)?;
        } else {
            collector
                .bad(file.display().to_string(), "expected only .tsv, .csv and .jsonl files beside it")?;
        }
    }
    if tables == 0 {
        return Err(DataError::unusable(root, "no .tsv, .csv or .jsonl file of texts in it"));
    }
    Ok(())
}

pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|found| found.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// What is done with the first column, the labels and the place of a good row.
pub(super) type Take<'a> =
    dyn FnMut(&mut Collector, String, Vec<String>, String) -> Result<(), DataError> + 'a;

/// Where the two columns are.
struct Columns {
    input: usize,
    label: usize,
    count: usize,
}

impl Columns {
    /// Finds the columns `input` and `label` by name; others may be there and are not read.
    fn find(header: &[String], input: &str, path: &Path) -> Result<Self, DataError> {
        let position = |wanted: &str| {
            header.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted)).ok_or_else(|| {
                let near = nearest(wanted, header.iter().map(String::as_str));
                let meant = near.map(|name| format!("; is {name:?} meant?")).unwrap_or_default();
                let problem = format!(
                    "the header has no column {wanted:?} (found {header:?}, expected {input:?} and \"label\"){meant}"
                );
                DataError::unusable(path, problem)
            })
        };
        Ok(Self { input: position(input)?, label: position("label")?, count: header.len() })
    }

    fn cells<'a>(&self, cells: &[&'a str]) -> Result<(&'a str, &'a str), String> {
        match (cells.get(self.input), cells.get(self.label)) {
            (Some(input), Some(label)) if cells.len() == self.count => Ok((input, label)),
            _ => Err(format!("{} columns, expected {} as the header has", cells.len(), self.count)),
        }
    }
}

fn tsv(path: &Path, collector: &mut Collector, take: &mut Take<'_>) -> Result<(), DataError> {
    let bytes = read_file(path)?;
    collector.digest.update(&bytes);
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let header = lines.next().map(|(_, line)| String::from_utf8_lossy(line)).unwrap_or_default();
    let header: Vec<String> = header.trim_end_matches('\r').split('\t').map(str::to_owned).collect();
    let columns = Columns::find(&header, "text", path)?;
    for (index, line) in lines {
        let place = format!("{}:{}", path.display(), index + 1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let parsed =
            std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}")).and_then(|line| {
                let cells: Vec<&str> = line.split('\t').collect();
                columns.cells(&cells)
            });
        match parsed {
            Ok((text, label)) => {
                let labels = labels_of(label, collector);
                take(collector, text.to_owned(), labels, place)?;
            }
            Err(problem) => collector.bad(place, problem)?,
        }
    }
    Ok(())
}

/// Reads a `.csv` whose header names the columns `input` and `label`.
pub(super) fn csv(
    path: &Path,
    input: &str,
    collector: &mut Collector,
    take: &mut Take<'_>,
) -> Result<(), DataError> {
    let bytes = read_file(path)?;
    collector.digest.update(&bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let header = reader.byte_headers().map_err(|error| DataError::unusable(path, error))?;
    let header: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let columns = Columns::find(&header, input, path)?;
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| DataError::unusable(path, error))? {
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("{}:{line}", path.display());
        let cells: Result<Vec<&str>, String> = record
            .iter()
            .map(|cell| std::str::from_utf8(cell).map_err(|error| format!("not UTF-8: {error}")))
            .collect();
        match cells.and_then(|cells| columns.cells(&cells)) {
            Ok((input, label)) => {
                let labels = labels_of(label, collector);
                take(collector, input.to_owned(), labels, place)?;
            }
            Err(problem) => collector.bad(place, problem)?,
        }
    }
    Ok(())
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
struct Line {
    text: String,
    label: Option<String>,
    labels: Option<Vec<String>>,
}

fn jsonl(path: &Path, collector: &mut Collector) -> Result<(), DataError> {
    let bytes = read_file(path)?;
    collector.digest.update(&bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = format!("{}:{}", path.display(), index + 1);
        match serde_json::from_slice::<Line>(line) {
            Ok(Line { text, label: Some(label), labels: None }) => {
                collector.good(Source::Text(text), vec![label.trim().to_owned()], place)?;
            }
            Ok(Line { text, label: None, labels: Some(labels) }) => {
                let labels = labels.iter().map(|label| label.trim().to_owned()).collect();
                collector.good(Source::Text(text), labels, place)?;
            }
            Ok(_) => collector.bad(place, "expected exactly one of \"label\" and \"labels\"")?,
            Err(error) => {
                collector.bad(place, format!("not an object with \"text\" and \"label\": {error}"))?;
            }
        }
    }
    Ok(())
}

/// The labels of a cell: one, or for a multi-label objective any number with `|` between them.
fn labels_of(cell: &str, collector: &Collector) -> Vec<String> {
    let cell = cell.trim();
    match collector.splits_labels() {
        true if cell.is_empty() => Vec::new(),
        true => cell.split('|').map(|label| label.trim().to_owned()).collect(),
        false => vec![cell.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{BadRows, Dataset, Reading, Row, read};
    use super::*;
    use crate::value::{Objective, Task};

    fn read_as(
        name: &str,
        content: &[u8],
        bad_rows: BadRows,
        objective: Objective,
    ) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let reading = Reading { task: Task::TextClassification, objective, bad_rows };
        let shown = format!("{}/", folder.path().display());
        read(&path, reading).map_err(|error| error.to_string().replace(&shown, ""))
    }

    fn stopped_by(name: &str, content: &[u8]) -> String {
        read_as(name, content, BadRows::Stop, Objective::MultiClass).unwrap_err()
    }

    fn pairs(rows: &[Row]) -> Vec<(String, String)> {
        rows.iter()
            .map(|row| match &row.source {
                Source::Text(text) => (text.clone(), row.labels.join("+")),
                Source::Picture(..) => panic!("a text was expected"),
            })
            .collect()
    }

    #[test]
    fn the_three_kinds_of_table_hold_the_same_rows() {
        let tsv = "text\tlabel\r\nsay \"hi\", you\tgreeting\r\nbye\tfarewell\n\n";
        let csv = "label,text\ngreeting,\"say \"\"hi\"\", you\"\nfarewell,bye\n";
        let jsonl = "{\"text\":\"say \\\"hi\\\", you\",\"label\":\"greeting\"}\n{\"text\":\"bye\",\"labels\":[\"farewell\"]}\n";
        let expected = [("say \"hi\", you", "greeting"), ("bye", "farewell")]
            .map(|(text, label)| (text.to_owned(), label.to_owned()));
        for (name, content) in [("a.tsv", tsv), ("a.csv", csv), ("a.jsonl", jsonl)] {
            let read = read_as(name, content.as_bytes(), BadRows::Stop, Objective::MultiClass).unwrap();
            assert_eq!(pairs(&read.rows), expected, "{name}");
            assert_eq!(read.sha256.len(), 64);
        }
    }

    #[test]
    fn a_folder_of_tables_is_read_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let read = |bad_rows| {
            let reading =
                Reading { task: Task::TextClassification, objective: Objective::MultiClass, bad_rows };
            read(folder.path(), reading)
        };
        let empty = read(BadRows::Stop).unwrap_err().to_string();
        assert!(empty.ends_with("no .tsv, .csv or .jsonl file of texts in it"), "{empty}");
        for (name, content) in [
            ("part-2.csv", "label,text\nx,second\n"),
            ("part-1.tsv", "text\tlabel\nfirst\ty\n"),
            ("_SUCCESS", ""),
            (".crc", "x"),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let rows = read(BadRows::Stop).unwrap().rows;
        let expected = [("first", "y"), ("second", "x")].map(|(text, label)| (text.into(), label.into()));
        assert_eq!(pairs(&rows), expected);
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let stray = read(BadRows::Stop).unwrap_err().to_string();
        assert!(stray.contains("notes.txt: expected only .tsv"), "{stray}");
        assert_eq!(read(BadRows::Skip).unwrap().skipped, 1);
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        let cases: [(&str, &[u8], &str); 8] = [
            ("a.tsv", b"text\tlabel\na\tx\nb\n", "a.tsv:3: 1 columns, expected 2"),
            ("a.tsv", b"text\tlabel\na\tb\tc\n", "a.tsv:2: 3 columns, expected 2"),
            ("a.tsv", b"text\tlabel\n \tx\n", "a.tsv:2: the text is empty"),
            ("a.tsv", b"text\tlabel\na\t\n", "a.tsv:2: the label is empty"),
            ("a.tsv", b"text\tlabel\n\xff\tx\n", "a.tsv:2: not UTF-8"),
            ("a.csv", b"text,label\n\"two\nlines\",x\nb\n", "a.csv:4: 1 columns, expected 2"),
            ("a.jsonl", b"{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\n", "a.jsonl:2: not an object"),
            ("a.jsonl", b"{\"text\":\"a\",\"labels\":[\"x\",\"y\"]}\n", "a.jsonl:1: 2 labels, expected one"),
        ];
        for (name, content, expected) in cases {
            let message = stopped_by(name, content);
            assert!(message.starts_with(expected), "{message}");
            assert!(message.contains("--skip-bad-rows"), "{message}");
        }
    }

    #[test]
    fn skipped_rows_are_counted() {
        let content = b"text\tlabel\na\tx\nb\n\xff\tx\nc\ty\n";
        let read = read_as("a.tsv", content, BadRows::Skip, Objective::MultiClass).unwrap();
        assert_eq!((read.rows.len(), read.skipped), (2, 2));
        assert_eq!(read.rows[1].place.rsplit(':').next(), Some("5"));
    }

    #[test]
    fn a_table_without_its_columns_or_rows_is_refused() {
        for (name, content, expected) in [
            ("a.tsv", "text\tlabels\na\tx\n", "is \"labels\" meant?"),
            ("a.csv", "a,x\nb,y\n", "no column \"text\""),
            ("a.tsv", "text\tlabel\n", "no usable row"),
            ("a.txt", "text\tlabel\na\tx\n", "expected .tsv, .csv or .jsonl"),
        ] {
            let message = stopped_by(name, content.as_bytes());
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_cell_holds_several_labels_only_for_a_multi_label_objective() {
        let content = b"text\tlabel\na\tx|y\nb\t\n";
        let many = read_as("a.tsv", content, BadRows::Stop, Objective::MultiLabel).unwrap();
        assert_eq!(many.rows[0].labels, ["x", "y"]);
        assert!(many.rows[1].labels.is_empty());
        let one = read_as("a.tsv", content, BadRows::Skip, Objective::MultiClass).unwrap();
        assert_eq!(one.rows[0].labels, ["x|y"]);
        assert_eq!(one.skipped, 1);
    }
}
