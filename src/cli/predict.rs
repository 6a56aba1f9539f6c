//! `sconce predict`: answers from the command line, without a server.

mod given;
mod show;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tower::Service as _;

use self::given::Given;
use super::place::Place;
use super::{Failure, output};
use crate::batch::Priority;
use crate::engine::{DeviceChoice, quiet_pools};
use crate::limits;
use crate::pipeline::{self, Outcome, Pipeline, Request};
use crate::value::Task;

/// Answers inputs from the command line, without a server
///
/// A failing input is reported in its place, the others are answered, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The model: models/NAME (its latest version) or models/NAME/VERSION
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Texts, or paths of pictures; `-` reads JSON lines from standard input: "…", {"text": "…"}, {"path": "…"} or
    /// {"input": "…"} (a text; of a picture its base64)
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<String>,

    /// Labels to answer, the best first
    #[arg(long, value_name = "N", default_value = "5")]
    top_k: NonZeroUsize,

    /// Prints a JSON object a line: {"input", "predictions"} or {"input", "error"}
    #[arg(long)]
    json: bool,

    /// Where to compute: auto, cpu or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = device)]
    device: DeviceChoice,
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    DeviceChoice::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Rows under way at once: enough to keep every worker busy.
const UNDER_WAY: usize = 64;

/// What became of one input.
struct Done {
    name: String,
    outcome: Result<Outcome, String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    quiet_pools();
    let place = Place::find(&arguments.model)?;
    let loaded = place.load()?;
    let task = loaded.manifest.task;
    let config = pipeline::Config {
        device: arguments.device,
        workers: workers(&arguments.inputs),
        engine_rows: Some(limits::ENGINE_ROWS_DEFAULT),
        ..pipeline::Config::default()
    };
    let pipeline = Pipeline::start(&place.name, loaded, &config).map_err(Failure::data)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let done = answers(pipeline, given(arguments.inputs.clone(), task), arguments.top_k);
    let failed = runtime.block_on(print_all(done, arguments.json))?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 input has no answer")),
        several => Err(Failure::failed(format!("{several} inputs have no answer"))),
    }
}

/// A worker an input, as far as there are cores.
fn workers(inputs: &[String]) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(limits::WORKERS_MAX);
    if inputs.iter().any(|input| input == "-") { cores } else { inputs.len().clamp(1, cores) }
}

/// The inputs as they come: a thread of their own reads them, because standard input may keep it waiting.
fn given(inputs: Vec<String>, task: Task) -> impl Stream<Item = Given> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    std::thread::spawn(move || {
        for given in given::all(inputs, task) {
            if sender.blocking_send(given).is_err() {
                break;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// The answers, in the order of the inputs.
fn answers(
    pipeline: Pipeline,
    inputs: impl Stream<Item = Given>,
    top_k: NonZeroUsize,
) -> impl Stream<Item = Done> {
    let answer = move |given: Given| {
        let mut pipeline = pipeline.clone();
        async move {
            let outcome = match given.input {
                Ok(input) => {
                    let request = Request {
                        input,
                        top_k: Some(top_k.get()),
                        deadline: None,
                        priority: Priority::default(),
                    };
                    pipeline
                        .call(request)
                        .await
                        .map(|answer| answer.outcome)
                        .map_err(|error| error.to_string())
                }
                Err(reason) => Err(reason),
            };
            Done { name: given.name, outcome }
        }
    };
    inputs.map(answer).buffered(UNDER_WAY)
}

/// Prints every answer when it is there; how many inputs had none.
async fn print_all(done: impl Stream<Item = Done>, json: bool) -> Result<usize, Failure> {
    let mut done = std::pin::pin!(done);
    let mut failed = 0;
    while let Some(done) = done.next().await {
        failed += usize::from(done.outcome.is_err());
        output::print(&if json { show::line(&done) } else { show::table(&done) })?;
    }
    Ok(failed)
}
