//! The golden samples of an imported model: inputs that every load must reproduce.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};

use super::inputs;
use crate::cli::Failure;
use crate::limits;
use crate::model::{GoldenInput, GoldenSample, Manifest};
use crate::nn::Network;
use crate::pipeline::record_golden;
use crate::text::Tokenizer;
use crate::value::Task;

/// Texts of several lengths. What a tokenizer makes of them does not matter, only that it stays the same.
const TEXTS: [&str; 4] = [
    "a fine film",
    "What is the weather like in Paris tomorrow?",
    "It is 7 o'clock, and nobody has come; \"never mind\", she said.",
    "The picture is far too long, the music is loud, and yet I would see it again at once, twice if I could.",
];

/// Records the built-in samples that the model takes, and all of the given files.
///
/// # Errors
/// A given sample cannot be read or run, none of any kind can, or there are too many.
pub(super) fn record(
    manifest: &Manifest,
    tokenizer: Option<&Tokenizer>,
    network: &Network,
    files: &[PathBuf],
) -> Result<Vec<GoldenSample>, Failure> {
    let run = |input: GoldenInput| record_golden(&manifest.input, tokenizer, network, vec![input]);
    let mut recorded = Vec::new();
    let mut refused = None;
    for input in built_in(manifest.task)? {
        match run(input) {
            Ok(samples) => recorded.extend(samples),
            Err(reason) => refused = Some(reason),
        }
    }
    for path in files {
        for input in given(path, manifest.task)? {
            let samples =
                run(input).map_err(|reason| Failure::data(format!("{}: {reason}", path.display())))?;
            recorded.extend(samples);
        }
    }
    let most = limits::GOLDEN_SAMPLES_MAX;
    if recorded.len() > most {
        return Err(Failure::data(format!("{} golden samples, at most {most} are taken", recorded.len())));
    }
    if recorded.is_empty() {
        let reason = refused.unwrap_or_default();
        return Err(Failure::data(format!("no built-in sample can be run: {reason}"))
            .hint("give --sample FILE with inputs that the model takes"));
    }
    Ok(recorded)
}

fn built_in(task: Task) -> Result<Vec<GoldenInput>, Failure> {
    match task {
        Task::TextClassification => {
            Ok(TEXTS.iter().map(|text| GoldenInput::Text((*text).to_owned())).collect())
        }
        Task::ImageClassification => pictures(),
    }
}

/// A gradient, stripes and a coarse noise, larger and smaller than most networks' inputs.
fn pictures() -> Result<Vec<GoldenInput>, Failure> {
    let byte = |value: u32| value.to_le_bytes()[0];
    let gradient = RgbImage::from_fn(64, 48, |x, y| Rgb([byte(4 * x), byte(5 * y), byte(2 * (x + y))]));
    let stripes =
        RgbImage::from_fn(20, 20, |x, y| Rgb(if (x + y) % 6 < 3 { [230, 40, 90] } else { [10, 200, 60] }));
    let noise = RgbImage::from_fn(32, 32, |x, y| {
        let mixed = (x / 2).wrapping_mul(0x9E37_79B1) ^ (y / 2).wrapping_mul(0x85EB_CA77);
        Rgb([byte(mixed >> 8), byte(mixed >> 13), byte(mixed >> 19)])
    });
    [gradient, stripes, noise].iter().map(png).collect()
}

fn png(picture: &RgbImage) -> Result<GoldenInput, Failure> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(Failure::failed)?;
    Ok(GoldenInput::Picture(Bytes::from(bytes.into_inner())))
}

/// The samples of a file: a text a line, or one picture.
fn given(path: &Path, task: Task) -> Result<Vec<GoldenInput>, Failure> {
    let bytes = inputs::read(path, limits::GOLDEN_BYTES_MAX)?;
    match task {
        Task::ImageClassification => Ok(vec![GoldenInput::Picture(bytes.into())]),
        Task::TextClassification => {
            let text = String::from_utf8(bytes)
                .map_err(|error| Failure::data(format!("{}: not UTF-8: {error}", path.display())))?;
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            Ok(lines.map(|line| GoldenInput::Text(line.to_owned())).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_pictures_are_pictures() {
        for input in pictures().unwrap() {
            let GoldenInput::Picture(bytes) = input else { panic!("not a picture") };
            let picture = crate::image::decode(&bytes).unwrap();
            assert!(picture.rgb.iter().any(|value| *value != picture.rgb[0]), "a flat picture shows nothing");
        }
    }

    #[test]
    fn a_file_of_texts_is_a_sample_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.txt");
        std::fs::write(&path, "one\n\n two\n").unwrap();
        let found = given(&path, Task::TextClassification).unwrap();
        assert_eq!(found, [GoldenInput::Text("one".into()), GoldenInput::Text(" two".into())]);
        assert!(given(&folder.path().join("none"), Task::TextClassification).is_err());
    }
}
