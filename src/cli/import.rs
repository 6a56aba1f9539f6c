//! `sconce import`: weights that PyTorch or another library wrote become a model version.

mod inputs;
mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::inputs::Preparing;
use super::{Failure, output};
use crate::engine::{Precision, quiet_pools};
use crate::model::{self, Draft, InputPreparation, Manifest};
use crate::name::{ModelName, Version};
use crate::nn::{Architecture, Network, Weights};
use crate::text::Tokenizer;
use crate::value::{Objective, Task};

/// Makes a model version of weights from PyTorch or safetensors
///
/// Sizes are inferred where the tensors tell them; `--set` says what they cannot tell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = keys_of_set())]
pub(super) struct Arguments {
    /// The weights: a `state_dict` saved by torch.save (.pt, .pth), or safetensors
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// The tokenizer of a text model: tokenizer.json, in the format of Hugging Face
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,

    /// The labels in the order of the outputs: one a line, or a JSON array
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,

    /// Where the model goes: models/NAME; it becomes its next version
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// What the tensors cannot tell; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,

    /// A file of texts, one a line, or a picture, to be reproduced at every load (besides built-in ones); repeatable
    #[arg(long, value_name = "FILE")]
    sample: Vec<PathBuf>,

    /// One line for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,

    /// The licence of the model and of the data behind it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    licence: String,
}

/// The keys of `--set`, with their meanings.
fn keys_of_set() -> String {
    let all = || inputs::SETTINGS.iter().chain(model::import::SETTINGS);
    let width = all().map(|(key, _)| key.len()).max().unwrap_or_default();
    let lines = all().map(|(key, meaning)| format!("\n  {key:width$}  {meaning}"));
    format!("Keys of --set:{}", lines.collect::<String>())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as pooling=mean")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    quiet_pools();
    let models = models_directory(&arguments.out)?;
    let (preparing, of_architecture) = settings(&arguments.set)?;
    let tensors = model::import::read_tensors(&arguments.weights).map_err(Failure::data)?;
    let (architecture, weights) = model::import::infer(tensors, &of_architecture).map_err(|error| {
        Failure::data(format!("{}: {error}", arguments.weights.display()))
            .hint("--set KEY=VALUE says what tensors cannot tell; `sconce import --help` lists the keys")
    })?;
    let tokenizer = inputs::tokenizer(arguments.tokenizer.as_deref(), &architecture)?;
    let labels = inputs::labels(&arguments.labels)?;
    let objective = preparing.objective(&architecture, labels.len(), &arguments.labels)?;
    let input = preparing.preparation(&architecture)?;
    let manifest = Manifest {
        format: 1,
        task: task(&architecture),
        description: arguments.description.clone(),
        licence: arguments.licence.clone(),
        objective,
        precision: Precision::F32,
        labels,
        architecture,
        input,
        files: BTreeMap::new(),
        training: facts(arguments),
    };
    let version = publish(arguments, manifest, weights, tokenizer)?;
    let command = format!("sconce serve --models {}", shell(&models.to_string_lossy()));
    output::print(&format!("imported {}/{version}\n{command}", arguments.out.display()))
}

/// Records the golden samples, publishes, and says what the model is.
fn publish(
    arguments: &Arguments,
    manifest: Manifest,
    weights: Weights,
    tokenizer: Option<Tokenizer>,
) -> Result<Version, Failure> {
    let network = Network::new(&manifest.architecture, &weights).map_err(Failure::data)?;
    let golden = samples::record(&manifest, tokenizer.as_ref(), &network, &arguments.sample)?;
    output::complain(&described(&manifest));
    let draft = Draft { manifest, weights, tokenizer, golden, extras: BTreeMap::new() };
    model::publish(&arguments.out, &draft).map_err(|error| match error {
        model::PublishError::Unloadable(_) => Failure::data(error),
        model::PublishError::Io { .. } => Failure::failed(error),
    })
}

/// The models directory that the model goes into; its own folder must have the name of a model.
fn models_directory(out: &Path) -> Result<PathBuf, Failure> {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Err(bad) = name.parse::<ModelName>() {
        return Err(Failure::usage(format!("--out {}: {bad}", out.display())).hint("expected models/NAME"));
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(parent.unwrap_or(Path::new(".")).to_owned())
}

/// What is said of inputs and outputs, and what is said of the architecture.
fn settings(set: &[(String, String)]) -> Result<(Preparing, BTreeMap<String, String>), Failure> {
    let mut preparing = Preparing::default();
    let mut of_architecture = BTreeMap::new();
    for (key, value) in set {
        if inputs::SETTINGS.iter().any(|(known, _)| known == key) {
            preparing.set(key, value)?;
        } else {
            of_architecture.insert(key.clone(), value.clone());
        }
    }
    Ok((preparing, of_architecture))
}

fn task(architecture: &Architecture) -> Task {
    match architecture {
        Architecture::LstmClassifier(_) => Task::TextClassification,
        Architecture::ConvClassifier(_) => Task::ImageClassification,
    }
}

/// Where the version came from, for whoever reads its manifest.
fn facts(arguments: &Arguments) -> toml::Table {
    let file = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        toml::Value::String(name.to_string_lossy().into_owned())
    };
    let set: toml::Table =
        arguments.set.iter().map(|(key, value)| (key.clone(), toml::Value::String(value.clone()))).collect();
    let mut facts = toml::Table::from_iter([
        ("imported_from".to_owned(), file(&arguments.weights)),
        ("labels_from".to_owned(), file(&arguments.labels)),
    ]);
    if !set.is_empty() {
        facts.insert("settings".to_owned(), toml::Value::Table(set));
    }
    facts
}

/// What was inferred, as the manifest has it.
fn described(manifest: &Manifest) -> String {
    let objective = match manifest.objective {
        Objective::Binary => "binary",
        Objective::MultiClass => "multi-class",
        Objective::MultiLabel => "multi-label",
    };
    let input = match &manifest.input {
        InputPreparation::Text(input) => format!("the first {} tokens of a text", input.tokens_max),
        InputPreparation::Picture(input) => format!(
            "{} x {} pixels, {} channels, mean {:?}, std {:?}, fit {:?}",
            input.width, input.height, input.channels, input.mean, input.std, input.fit
        ),
    };
    let sizes = toml::to_string(&manifest.architecture).unwrap_or_else(|error| error.to_string());
    let labels = manifest.labels.len();
    format!("architecture:\n{}\noutputs: {objective}, {labels} labels\ninput: {input}", indented(&sizes))
}

fn indented(text: &str) -> String {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The text as a word of a shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
