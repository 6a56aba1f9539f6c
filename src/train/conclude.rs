//! The end of a run: the best weights answer the validation rows, the report is written, the version published.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use candle_core::Device;

use super::data::Source;
use super::evaluate::{Answered, Figures, Judge, Runner};
use super::examples::{Example, read_input};
use super::fit::Fit;
use super::interrupt::Interrupt;
use super::progress::duration;
use super::report::{self, Mistake, Report};
use super::session::{Options, SessionError, Stop, Stopped};
use super::setup::Plan;
use crate::engine::Precision;
use crate::image::{Picture, decode};
use crate::limits::{GOLDEN_PICTURE_BYTES_MAX, REPORT_MISTAKES_MAX, STOP_FIGURES_SECONDS_MAX};
use crate::model::{self, Draft, GoldenInput, Manifest};
use crate::name::Version;
use crate::pipeline::record_golden;
use crate::value::Input;

/// Golden samples of a version.
const GOLDEN_SAMPLES: usize = 8;
/// Pixels a side of a picture that is kept small.
const THUMBNAIL_SIDE: u32 = 96;

/// A version, and what it came to.
pub(crate) struct Concluded {
    pub(crate) version: Version,
    pub(crate) summary: Vec<String>,
    pub(crate) figures: Figures,
}

/// How a run came to its end.
pub(crate) struct Ending<'a> {
    /// Whether it is asked to end, now or later.
    pub(crate) interrupt: &'a Interrupt,
    /// Where it was asked to end before it had.
    pub(crate) stopped: Option<Stopped>,
}

/// Evaluates, reports, publishes. Of a run that was asked to end: the best weights so far, or those that it had where no
/// epoch has ended, and figures of as many validation rows as there is time for.
pub(crate) fn conclude(
    options: &Options,
    plan: &Plan,
    fit: &Fit<'_>,
    Ending { interrupt, stopped }: Ending<'_>,
) -> Result<Concluded, SessionError> {
    let model = match fit.state.best() {
        none if none.is_empty() => &fit.state.model().map_err(SessionError::Failed)?,
        best => best,
    };
    let (network, weights) = fit.state.network(model, &Device::Cpu).map_err(SessionError::Failed)?;
    let judge = Judge {
        runner: Runner::network(&network, &Device::Cpu),
        labels: &plan.labels,
        objective: plan.recipe.objective,
    };
    let rows = plan.validation_rows();
    let hurries = || options.stop == Stop::Publish && interrupt.is_set();
    let answers = match judge.answer_unless(&rows, hurries).map_err(SessionError::Failed)? {
        Some(answers) => answers,
        None => judge
            .answer_for(Duration::from_secs(STOP_FIGURES_SECONDS_MAX), &rows)
            .map_err(SessionError::Failed)?,
    };
    let figures = judge.figures(&answers, &rows);
    let golden = record_golden(&plan.preparation, plan.tokenizer.as_ref(), &network, golden_inputs(plan))
        .map_err(SessionError::Failed)?;
    let mut training = training_table(options, plan, fit, &figures).map_err(SessionError::Failed)?;
    if let Some(Stopped { epoch, .. }) = stopped {
        training.insert("stopped_in_epoch".into(), value(epoch).map_err(SessionError::Failed)?);
    }
    let manifest = Manifest {
        format: 1,
        task: plan.task,
        description: plan.recipe.description.clone(),
        licence: plan.recipe.licence.clone(),
        objective: plan.recipe.objective,
        precision: Precision::F32,
        labels: plan.labels.clone(),
        architecture: plan.architecture.clone(),
        input: plan.preparation.clone(),
        files: BTreeMap::new(),
        training,
    };
    let title = options.out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let report = Report {
        title: &title,
        position: &fit.position,
        figures: &figures,
        mistakes: mistakes(plan, &answers),
    };
    let mut extras = BTreeMap::from([
        ("metrics.json".to_owned(), report::metrics(&report).map_err(SessionError::Failed)?),
        ("report.html".to_owned(), report::html(&report).into_bytes()),
    ]);
    if !plan.recipe.licence.is_empty() {
        extras.insert("LICENSE".to_owned(), format!("{}\n", plan.recipe.licence.trim_end()).into_bytes());
    }
    let draft = Draft { manifest, weights, tokenizer: plan.tokenizer.clone(), golden, extras };
    let published = if fit.was_finished { published(&options.out, &draft.manifest) } else { None };
    let version = match published {
        Some(version) => version,
        None => model::publish(&options.out, &draft)?,
    };
    let directory = options.out.join(version.to_string());
    let mut summary = summary(&directory, plan, fit, &figures);
    if let Some(Stopped { epoch, epochs }) = stopped {
        summary.insert(0, format!("asked to end in epoch {epoch} of {epochs}"));
    }
    Ok(Concluded { version, summary, figures })
}

/// The latest version, if it is of this very run: then the run was killed after publishing it.
fn published(out: &Path, manifest: &Manifest) -> Option<Version> {
    let versions = fs::read_dir(out).ok()?.flatten();
    let latest = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<Version>().ok()).max()?;
    let text = fs::read_to_string(out.join(latest.to_string()).join("model.toml")).ok()?;
    let found = Manifest::parse(&text).ok()?;
    (found.training == manifest.training).then_some(latest)
}

fn summary(directory: &Path, plan: &Plan, fit: &Fit<'_>, figures: &Figures) -> Vec<String> {
    let best = match fit.position.best {
        Some(best) => format!("best epoch {} of {}", best.epoch, fit.position.epoch),
        None => "no epoch has ended: the weights as they were".to_owned(),
    };
    let skipped = match plan.skipped {
        0 => String::new(),
        count => format!(", {count} bad rows passed over"),
    };
    vec![
        format!(
            "{}: accuracy {:.4}, macro-F1 {:.4}, loss {:.4} on {} validation rows{skipped}",
            directory.display(),
            figures.accuracy,
            figures.macro_f1,
            figures.loss,
            figures.rows,
        ),
        format!("{best}, {} of training", duration(fit.position.seconds)),
        format!("report: {}", directory.join("report.html").display()),
    ]
}

/// The manifest's `training` table: everything that decided the result, and what the result is.
fn training_table(
    options: &Options,
    plan: &Plan,
    fit: &Fit<'_>,
    figures: &Figures,
) -> Result<toml::Table, String> {
    let best = fit.position.best.unwrap_or_default();
    let mut table = toml::Table::new();
    table.insert("recipe".into(), value(&plan.recipe)?);
    table.insert("program".into(), format!("sconce {}", env!("CARGO_PKG_VERSION")).into());
    table.insert("seed".into(), value(plan.recipe.seed)?);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    table.insert("data".into(), name(&options.data).into());
    if let Some(valid) = &options.valid {
        table.insert("valid".into(), name(valid).into());
    }
    for key in ["data sha256", "valid sha256", "tokenizer sha256"] {
        if let Some(digest) = plan.inputs.get(key) {
            table.insert(key.replace(' ', "_"), digest.clone().into());
        }
    }
    table.insert("rows".into(), value(plan.training.len())?);
    table.insert("valid_rows".into(), value(figures.rows)?);
    table.insert("skipped_rows".into(), value(plan.skipped)?);
    table.insert("epochs".into(), value(fit.position.epoch)?);
    table.insert("best_epoch".into(), value(best.epoch)?);
    table.insert("steps".into(), value(fit.position.step)?);
    table.insert("valid_accuracy".into(), figures.accuracy.into());
    table.insert("valid_macro_f1".into(), figures.macro_f1.into());
    table.insert("valid_loss".into(), figures.loss.into());
    Ok(table)
}

fn value(value: impl serde::Serialize) -> Result<toml::Value, String> {
    toml::Value::try_from(value).map_err(|error| error.to_string())
}

/// A validation row of each of the first labels, then further rows.
fn golden_inputs(plan: &Plan) -> Vec<GoldenInput> {
    let mut chosen: Vec<&Example> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let (first_of_label, others): (Vec<&Example>, Vec<&Example>) =
        plan.validation.iter().partition(|example| seen.insert(example.labels.clone()));
    for example in first_of_label.into_iter().chain(others) {
        if chosen.len() < GOLDEN_SAMPLES {
            chosen.push(example);
        }
    }
    chosen.into_iter().filter_map(|example| golden_input(&example.source)).collect()
}

fn golden_input(source: &Source) -> Option<GoldenInput> {
    match read_input(source).ok()? {
        Input::Text(text) => Some(GoldenInput::Text(text)),
        Input::Picture(bytes) if bytes.len() <= GOLDEN_PICTURE_BYTES_MAX => Some(GoldenInput::Picture(bytes)),
        Input::Picture(bytes) => Some(GoldenInput::Picture(thumbnail(&bytes)?.into())),
        // Data are files: nobody prepared them.
        Input::Pixels(_) | Input::Ready(_) => None,
    }
}

/// The picture as a PNG of at most 96 pixels a side.
fn thumbnail(bytes: &Bytes) -> Option<Vec<u8>> {
    let Picture { width, height, rgb } = decode(bytes).ok()?;
    let picture = ::image::RgbImage::from_raw(width, height, rgb)?;
    let longest = width.max(height).max(THUMBNAIL_SIDE);
    let side = |side: u32| (side * THUMBNAIL_SIDE / longest).max(1);
    let small = ::image::imageops::thumbnail(&picture, side(width), side(height));
    let mut png = Cursor::new(Vec::new());
    small.write_to(&mut png, ::image::ImageFormat::Png).ok()?;
    Some(png.into_inner())
}

/// `file:line` of a text, `class/file` of a picture: a published report does not tell where on a disk the data were.
fn place_in_data(example: &Example) -> String {
    let parts = match &example.source {
        Source::Text(_) => 1,
        Source::Picture(..) => 2,
    };
    let mut last: Vec<&str> = example.place.rsplit('/').take(parts).collect();
    last.reverse();
    last.join("/")
}

/// The wrong answers of the highest loss.
fn mistakes(plan: &Plan, answers: &[Answered]) -> Vec<Mistake> {
    let mut wrong: Vec<(&Example, &Answered)> =
        plan.validation.iter().zip(answers).filter(|(_, answer)| !answer.is_right).collect();
    wrong.sort_by(|left, right| right.1.loss.total_cmp(&left.1.loss));
    wrong.truncate(REPORT_MISTAKES_MAX);
    let names = |labels: &[u32]| {
        let names: Vec<&str> =
            labels.iter().filter_map(|label| plan.labels.get(*label as usize)).map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mistake = |(example, answer): (&Example, &Answered)| Mistake {
        place: place_in_data(example),
        text: match &example.source {
            Source::Text(text) => Some(text.clone()),
            Source::Picture(..) => None,
        },
        picture_png: match read_input(&example.source) {
            Ok(Input::Picture(bytes)) => thumbnail(&bytes),
            _ => None,
        },
        truth: names(&example.labels),
        given: names(&answer.given),
        score: answer.given.first().and_then(|label| answer.scores.get(*label as usize)).copied(),
        loss: answer.loss,
    };
    wrong.into_iter().map(mistake).collect()
}
