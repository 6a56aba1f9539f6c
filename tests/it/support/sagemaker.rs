//! `SageMaker`'s side of a training job: the files that it puts into its directory, and the one word that it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::server::sconce;
use super::training::Workshop;

/// What the platform mounts at `/opt/ml`, somewhere else.
pub struct Job {
    base: tempfile::TempDir,
}

impl Job {
    /// A job with the workshop's data in the channel `train`, its recipe in `config`, and these hyperparameters.
    pub fn new(workshop: &Workshop, task: &str, hyperparameters: &[(&str, &str)]) -> Self {
        let job = Self { base: tempfile::tempdir().unwrap() };
        for folder in ["input/config", "model", "output"] {
            fs::create_dir_all(job.path(folder)).unwrap();
        }
        let mut said = json!({"task": task});
        for (name, value) in hyperparameters {
            said[name] = json!(value);
        }
        job.write("input/config/hyperparameters.json", said.to_string());
        job.write(
            "input/config/resourceconfig.json",
            json!({"current_host": "algo-1", "hosts": ["algo-1"]}).to_string(),
        );
        job.channels(&json!({"train": {}, "config": {}}));
        copy(&workshop.data(), &job.path("input/data/train"));
        copy(&workshop.recipe(), &job.path("input/data/config"));
        job
    }

    /// A path below `/opt/ml`.
    pub fn path(&self, below: &str) -> PathBuf {
        self.base.path().join(below)
    }

    /// A file below `/opt/ml`.
    pub fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The text of a file below `/opt/ml`.
    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
    }

    /// Says which channels there are, and makes their folders.
    pub fn channels(&self, channels: &Value) {
        let mut said = json!({});
        for (name, channel) in channels.as_object().unwrap() {
            said[name] = json!({"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"});
            said[name].as_object_mut().unwrap().extend(channel.as_object().unwrap().clone());
            fs::create_dir_all(self.path("input/data").join(name)).unwrap();
        }
        self.write("input/config/inputdataconfig.json", said.to_string());
    }

    /// `sconce train`, as the platform starts it.
    pub fn command(&self) -> Command {
        let mut command = sconce();
        command.arg("train").env("SAGEMAKER_BASE_DIR", self.base.path()).env("TRAINING_JOB_NAME", "job-1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the job to its end, whatever that is.
    pub fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs the job to a model; returns what it printed.
    pub fn train(&self) -> String {
        let output = self.run();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!self.path("output/failure").exists());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the job to a failure; returns what the platform shows of it.
    pub fn fail(&self) -> String {
        let output = self.run();
        assert!(!output.status.success(), "it does not fail: {}", String::from_utf8_lossy(&output.stdout));
        self.read("output/failure")
    }

    /// Starts the job.
    pub fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// The job goes on elsewhere: only input and checkpoints come along.
    pub fn moved(&self) {
        for folder in ["model", "output"] {
            fs::remove_dir_all(self.path(folder)).unwrap();
            fs::create_dir_all(self.path(folder)).unwrap();
        }
    }

    /// What becomes of `/opt/ml/model`: packed here, unpacked where a server will run.
    pub fn hosted(&self) -> tempfile::TempDir {
        let there = tempfile::tempdir().unwrap();
        let archive = there.path().join("model.tar.gz");
        let models = there.path().join("model");
        fs::create_dir(&models).unwrap();
        for (flags, folder) in [("czf", self.path("model")), ("xzf", models)] {
            let done = Command::new("tar").arg(flags).arg(&archive).arg("-C").arg(folder).arg(".").status();
            assert!(done.unwrap().success());
        }
        there
    }

    /// The weights of a version of the model called `model`.
    pub fn weights(&self, version: u32) -> Vec<u8> {
        fs::read(self.path(&format!("model/model/{version}/weights.safetensors"))).unwrap()
    }
}

/// Copies a file, or what a folder holds, into a folder.
fn copy(from: &Path, folder: &Path) {
    let from = if from.is_dir() { from.join(".") } else { from.to_owned() };
    let done = Command::new("cp").arg("-r").arg(from).arg(folder).status();
    assert!(done.unwrap().success());
}

/// The numbers that the platform reads for a metric whose expression is `NAME=([0-9.]+);`.
pub fn metric(log: &str, name: &str) -> Vec<f64> {
    log.split(&format!("{name}="))
        .skip(1)
        .map(|rest| rest.split(';').next().unwrap().parse().unwrap_or_else(|_| panic!("{name}: {rest}")))
        .collect()
}
