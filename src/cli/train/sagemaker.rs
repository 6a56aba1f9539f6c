//! `sconce train` as Amazon `SageMaker` starts it: the word alone, and everything else in a directory, `/opt/ml`.
//!
//! In reading order: `hyperparameters` and `channels` are what the platform says, `job` what it comes to as options of a
//! training run, `outcome` what the platform takes away afterwards. The contract: "Use your own training algorithms" in
//! the `SageMaker` developer guide.

mod channels;
mod hyperparameters;
mod job;
mod outcome;

use std::any::Any;
use std::ffi::OsString;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use super::super::Failure;
use crate::limits::PLATFORM_FILE_BYTES_MAX;
use crate::train::session::{self, SessionError};
use crate::train::{DataError, Interrupt};
use job::Job;

/// Where the platform's directory is.
const BASE: &str = "/opt/ml";
/// The variable that says it is elsewhere; `SageMaker`'s own toolkits read the same.
const BASE_VARIABLE: &str = "SAGEMAKER_BASE_DIR";

/// The platform's directory, if this is the command line that the platform gives and it has put its files there.
pub(in crate::cli) fn called(arguments: &[OsString]) -> Option<PathBuf> {
    let [_, verb] = arguments else { return None };
    if verb != "train" {
        return None;
    }
    match std::env::var_os(BASE_VARIABLE).filter(|said| !said.is_empty()) {
        Some(said) => Some(said.into()),
        None => Path::new(BASE).join("input/config").is_dir().then(|| BASE.into()),
    }
}

/// Runs the job that the platform has put into `base`. A failure is written to where the platform reads it.
pub(in crate::cli) fn run(base: &Path) -> Result<(), Failure> {
    // A job that dies without a word is the dearest kind of failure, so that a defect is reported as one, too.
    let done =
        panic::catch_unwind(AssertUnwindSafe(|| train(base))).unwrap_or_else(|panic| Err(defect(&*panic)));
    if let Err(failure) = &done {
        outcome::write_failure(base, failure);
    }
    done
}

fn train(base: &Path) -> Result<(), Failure> {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed(format!("signals: {error}")))?;
    if let Some(variable) = flag_variable(std::env::vars_os()) {
        return Err(Failure::data(format!(
            "the variable {variable} is for the flags of sconce train, a job has none"
        ))
        .hint("say it as a hyperparameter: docs/training.md lists every one"));
    }
    let job = Job::read(base)?;
    let out = &job.options.out;
    // Hours of training are not to end with a directory that cannot be written to.
    fs::create_dir_all(out).map_err(|error| unwritable(out, &error))?;
    match session::run(&job.options, &interrupt) {
        Ok(finished) => {
            outcome::report(&job, &finished, &interrupt);
            Ok(())
        }
        Err(error) => {
            // Without a version in it the folder is empty, and goes.
            fs::remove_dir(out).ok();
            Err(failure(error))
        }
    }
}

/// A variable that speaks for a flag, which here would be passed over in silence.
fn flag_variable(mut variables: impl Iterator<Item = (OsString, OsString)>) -> Option<String> {
    variables.find_map(|(name, _)| name.into_string().ok().filter(|name| name.starts_with("SCONCE_TRAIN_")))
}

/// A failure in the words of the platform: hyperparameters and channels, no flags.
fn failure(error: SessionError) -> Failure {
    match error {
        SessionError::Name { name, problem, meant } => {
            let meant = meant.or_else(|| hyperparameters::nearest_own(&name).map(str::to_owned));
            let meant = meant.map(|known| format!("; is {known} meant?")).unwrap_or_default();
            Failure::data(format!("hyperparameter {name}: {problem}{meant}"))
                .hint("docs/training.md lists every hyperparameter")
        }
        SessionError::Value { .. } => Failure::data(format!("hyperparameter {error}")),
        SessionError::Data(DataError::BadRow { place, problem }) => {
            Failure::data(format!("{place}: {problem}"))
                .hint("the hyperparameter skip_bad_rows = true passes over such rows and counts them")
        }
        SessionError::Another { .. } => Failure::data(error).hint(
            "give each job a checkpoint path of its own (CheckpointConfig.S3Uri), but for one that goes on",
        ),
        SessionError::Output { .. } | SessionError::Recipe(..) | SessionError::Data(_) => {
            Failure::data(error)
        }
        SessionError::Unfinished { .. }
        | SessionError::Busy(_)
        | SessionError::Interrupted(_)
        | SessionError::Publish(_)
        | SessionError::Failed(_) => Failure::failed(error),
    }
}

/// What a panic says.
fn defect(panic: &(dyn Any + Send)) -> Failure {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word of it");
    Failure::failed(format!("a defect of sconce: {said}")).hint("please report it, with the job's log")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::failed(format!("{}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        failure.hint(
            "SageMaker's directories are root's: deploy/sagemaker/image is the image with root as its user",
        )
    } else {
        failure
    }
}

/// A JSON file of the platform's; `None` when it is not there.
fn json<T: serde::de::DeserializeOwned>(path: &Path, expected: &str) -> Result<Option<T>, Failure> {
    let refused = |problem: String| Failure::data(format!("{}: {problem}", path.display()));
    let bytes = match fs::metadata(path) {
        Ok(metadata) if metadata.len() > PLATFORM_FILE_BYTES_MAX => {
            let bytes = metadata.len();
            return Err(refused(format!("{bytes} bytes, at most {PLATFORM_FILE_BYTES_MAX} are read")));
        }
        Ok(_) => fs::read(path).map_err(|error| refused(error.to_string()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|error| refused(format!("expected {expected}: {error}")))
}
