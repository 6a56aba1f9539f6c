//! Where the time of a request goes outside of its engine: preparing an input and presenting an answer, each alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::Latencies;
use crate::pipeline::{PrepareError, Preparer, Presenter};
use crate::value::{Input, Logits};

/// Labels that an answer is presented with.
const TOP_K: usize = 5;

/// Microseconds of the parts of a request on one thread. HTTP, JSON and the queue are not among them: they show as the
/// difference between this and what `sconce bench http` finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parts {
    /// Inputs that were prepared, again and again.
    pub inputs: usize,
    /// Mean bytes of an input.
    pub bytes_per_input: f64,
    /// Mean tokens of an input, or pixels of what the network sees.
    pub units_per_input: f64,
    /// Tokenizing; decoding, resizing and normalising: each input for the first time, when none of its words is known.
    pub prepare_first_us: Part,
    /// The same again, when its words are known.
    pub prepare_us: Part,
    /// From logits to scores with the 5 best labels.
    pub present_us: Part,
}

/// Microseconds of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// The shortest.
    pub min: f64,
    /// Half took no longer.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// 99 % took no longer.
    pub p99: f64,
}

/// Why parts cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// There is nothing to prepare or to present.
    #[error("no text or picture to prepare")]
    NoInput,
    /// An input cannot be prepared.
    #[error("input {input}: {reason}")]
    Unprepared {
        /// Its number, from 1.
        input: usize,
        /// Why.
        reason: PrepareError,
    },
}

/// Prepares the inputs and presents the answers, round and round, each part for so long. The preparer is to be new:
/// one that has seen the inputs knows their words.
///
/// # Errors
/// There is none, or one cannot be prepared.
pub fn measure_parts(
    (preparer, inputs): (&Preparer, &[Input]),
    (presenter, answers): (&Presenter, &[Logits]),
    time: Duration,
) -> Result<Parts, PartsError> {
    if inputs.is_empty() || answers.is_empty() {
        return Err(PartsError::NoInput);
    }
    let (mut units, mut first) = (0, Latencies::new());
    for (input, number) in inputs.iter().zip(1..) {
        let begun = Instant::now();
        let found = preparer.prepare(input);
        first.record(begun.elapsed());
        units += found.map_err(|reason| PartsError::Unprepared { input: number, reason })?.units;
    }
    let bytes: usize = inputs.iter().map(bytes).sum();
    let count = inputs.len() as f64;
    Ok(Parts {
        inputs: inputs.len(),
        bytes_per_input: bytes as f64 / count,
        units_per_input: units as f64 / count,
        prepare_first_us: part(&first),
        prepare_us: again(inputs, time, |input| {
            black_box(preparer.prepare(input).is_ok());
        }),
        present_us: again(answers, time, |answer| {
            black_box(presenter.present(answer, Some(TOP_K), false));
        }),
    })
}

/// Does it with each in turn, for so long and once with each at least.
fn again<T>(all: &[T], time: Duration, mut act: impl FnMut(&T)) -> Part {
    let begun = Instant::now();
    let mut times = Latencies::new();
    while begun.elapsed() < time || times.count() == 0 {
        for one in all {
            let before = Instant::now();
            act(one);
            times.record(before.elapsed());
        }
    }
    part(&times)
}

fn part(times: &Latencies) -> Part {
    let found = times.quantiles();
    let us = |ms: f64| ms * 1e3;
    Part { min: us(found.min), median: us(found.p50), mean: us(found.mean), p99: us(found.p99) }
}

fn bytes(input: &Input) -> usize {
    match input {
        Input::Text(text) => text.len(),
        Input::Picture(bytes) => bytes.len(),
        Input::Pixels(raster) => raster.rgb().len(),
        Input::Ready(features) => features.work() * size_of::<f32>(),
    }
}
