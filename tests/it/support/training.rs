//! Small data sets, small recipes, and `sconce train` on them: a run takes a second or less.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::server::sconce;

/// A folder with data and a recipe, and the command lines that train on them.
pub struct Workshop {
    folder: tempfile::TempDir,
    kind: &'static str,
}

const TEXT_RECIPE: &str = r#"
objective = "binary"
seed = 3
epochs = 6
batch_size = 8
average_decay = 0.9
valid_fraction = 0.2
[network]
kind = "lstm-classifier"
embedding_dim = 8
hidden_dim = 8
bidirectional = true
pooling = "max"
dropout = 0.2
[text]
token_dropout = 0.1
[tokenizer]
frequency_min = 1
[optimizer]
kind = "adamw"
learning_rate = 0.02
[schedule]
kind = "cosine"
warmup_steps = 3
"#;

const IMAGE_RECIPE: &str = r#"
seed = 3
epochs = 4
batch_size = 8
average_decay = 0.9
valid_fraction = 0.2
[network]
kind = "conv-classifier"
channels = 3
height = 8
width = 8
dropout = 0.1
blocks = [{ channels = 4, padding = 1, batch_norm = true, pool = { kind = "max", size = 2 } }]
[picture]
oversample = 2
[augmentation]
flip = true
crop_padding = 2
colour_jitter = 0.1
rotate_degrees = 5.0
zoom = 0.1
[optimizer]
learning_rate = 0.02
"#;

impl Workshop {
    /// 160 short texts of two labels, told apart by one word.
    pub fn text() -> Self {
        let workshop = Self { folder: tempfile::tempdir().unwrap(), kind: "text" };
        let mut table = String::from("text\tlabel\n");
        for row in 0..160 {
            let (word, label) = if row % 2 == 0 { ("lovely", "good") } else { ("awful", "bad") };
            writeln!(
                table,
                "the {} film number {row} was {word} {}\t{label}",
                row % 7,
                "and so on ".repeat(row % 4)
            )
            .unwrap();
        }
        fs::write(workshop.data(), table).unwrap();
        fs::write(workshop.recipe(), TEXT_RECIPE).unwrap();
        workshop
    }

    /// 60 pictures of two labels, reddish and bluish.
    pub fn image() -> Self {
        let workshop = Self { folder: tempfile::tempdir().unwrap(), kind: "image" };
        for row in 0..60_u8 {
            let label = if row % 2 == 0 { "red" } else { "blue" };
            let class = workshop.data().join(label);
            fs::create_dir_all(&class).unwrap();
            let picture = image::RgbImage::from_fn(12, 10, |x, y| {
                let (x, y) = (u8::try_from(x).unwrap(), u8::try_from(y).unwrap());
                let (strong, weak) = (150 + row + x, row + 3 * y);
                image::Rgb(if row % 2 == 0 { [strong, weak, weak] } else { [weak, weak, strong] })
            });
            picture.save(class.join(format!("{row:02}.png"))).unwrap();
        }
        fs::write(workshop.recipe(), IMAGE_RECIPE).unwrap();
        workshop
    }

    /// The data file or folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join(if self.kind == "text" { "data.tsv" } else { "data" })
    }

    /// The recipe file.
    pub fn recipe(&self) -> PathBuf {
        self.folder.path().join("recipe.toml")
    }

    /// A model directory of this name.
    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.path().join("models").join(name)
    }

    /// `sconce train` of the model `name`, with further arguments.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = sconce();
        command.args(["train", self.kind, "--data"]).arg(self.data()).arg("--recipe").arg(self.recipe());
        command.arg("--out").arg(self.model(name)).args(arguments);
        command
    }

    /// Runs it to its end, whatever that is.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }

    /// Runs it to a published version; returns its standard output.
    pub fn train(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts it; standard error goes nowhere.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Child {
        self.command(name, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The published versions; what a killed run left beside them is none.
    pub fn versions(&self, name: &str) -> Vec<u32> {
        let names = fs::read_dir(self.model(name)).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    /// The weights of a version.
    pub fn weights(&self, name: &str, version: u32) -> Vec<u8> {
        fs::read(self.model(name).join(version.to_string()).join("weights.safetensors")).unwrap()
    }

    /// The checkpoints of a model's unfinished run.
    pub fn checkpoints(&self, name: &str) -> Vec<PathBuf> {
        checkpoints(&self.model(name))
    }
}

fn checkpoints(model: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(model.join(".checkpoint")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("step-"))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Standard error of a run that ended with this exit code.
pub fn complaint(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}
