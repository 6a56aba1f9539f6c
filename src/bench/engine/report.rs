//! What a measurement of an engine says, for machines (JSON) and people.

use std::fmt;

use serde::Serialize;

use super::{Folded, Measured, Parts, Settings, Work};
use crate::bench::Quantiles;
use crate::engine::{Plan, Precision};
use crate::kernels::cpu::Level;
use crate::nn::Architecture;
use crate::value::Features;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What to call it.
    pub model: &'a str,
    /// The network.
    pub architecture: &'a Architecture,
    /// In which numbers it computes.
    pub precision: Precision,
    /// As it is laid out.
    pub plan: &'a Plan,
    /// The rows.
    pub rows: &'a [Features],
}

/// What a measurement of an engine found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The model's directory.
    pub model: String,
    /// `lstm-classifier` or `conv-classifier`.
    pub network: &'static str,
    /// Vector instructions of the kernels: `AMX`, `AVX-512`, `AVX2`, `scalar`, or `candle's` where it computes.
    pub instructions: &'static str,
    /// In which numbers it computes: `f32`, `bf16` or `int16`; the share of the two latter of the f32 peak may exceed 1.
    pub precision: Precision,
    /// Rows held at once, by all engines together.
    pub batch: usize,
    /// Threads of all engines together.
    pub threads: usize,
    /// Engines.
    pub engines: usize,
    /// Seconds that count.
    pub seconds: f64,
    /// Different rows, which take turns.
    pub rows: usize,
    /// Rows finished a second.
    pub rows_per_second: f64,
    /// From one batch's end to the next, of one engine with its share of the rows.
    pub ms_per_batch: Quantiles,
    /// What a row is counted in: `tokens` or `pixels`.
    pub units: &'static str,
    /// The mean of a row.
    pub units_per_row: f64,
    /// Tokens or pixels a second.
    pub units_per_second: f64,
    /// The arithmetic.
    pub share: Share,
    /// Bytes of the folded embedding; 0 when there is none.
    pub table_bytes: usize,
    /// Where the time goes outside of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// The arithmetic of a row, and its share of what the machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// GFLOP of a row, two a multiply-add, of the network as it is defined.
    pub gflop_per_row: f64,
    /// The same without what a folded table saves.
    pub gflop_per_row_computed: f64,
    /// GFLOP/s that were computed.
    pub gflops_computed: f64,
    /// GFLOP/s that as many threads could compute, measured in the same run: fused multiply-adds and nothing else.
    pub gflops_peak: f64,
    /// The share of the peak that was computed.
    pub of_peak: f64,
}

impl Report {
    /// What was measured, as figures.
    #[must_use]
    pub fn new(subject: Subject<'_>, settings: &Settings, measured: &Measured) -> Self {
        let Subject { model, architecture, precision, plan, rows } = subject;
        let table_bytes = if let Plan::Lstm(plan, _) = plan { plan.table_bytes() } else { 0 };
        let folded = if table_bytes > 0 { Folded::Yes } else { Folded::No };
        let work = Work::mean(architecture, rows, folded);
        // Pixels are positions of a picture, values those of all its channels.
        let (network, units, values_per_unit) = match architecture {
            Architecture::LstmClassifier(_) => ("lstm-classifier", "tokens", 1),
            Architecture::ConvClassifier(config) => ("conv-classifier", "pixels", config.channels),
        };
        let computed = 2e-9 * work.computed * measured.rows_per_second;
        let gflops_peak = 2e-9 * measured.peak * settings.threads as f64;
        let values = rows.iter().map(Features::work).sum::<usize>() as f64;
        Self {
            model: model.to_owned(),
            network,
            instructions: match plan.level() {
                Some(Level::Amx) => "AMX",
                Some(Level::Avx512) => "AVX-512",
                Some(Level::Avx2) => "AVX2",
                Some(Level::Scalar) => "scalar",
                None => "candle's",
            },
            precision,
            batch: settings.batch,
            threads: settings.threads,
            engines: measured.engines,
            seconds: settings.time.as_secs_f64(),
            rows: rows.len(),
            rows_per_second: measured.rows_per_second,
            ms_per_batch: measured.batches.quantiles(),
            units,
            units_per_row: values / values_per_unit as f64 / rows.len().max(1) as f64,
            units_per_second: measured.units_per_second / values_per_unit as f64,
            share: Share {
                gflop_per_row: 2e-9 * work.defined,
                gflop_per_row_computed: 2e-9 * work.computed,
                gflops_computed: computed,
                gflops_peak,
                of_peak: computed / gflops_peak,
            },
            table_bytes,
            parts: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}, {}, {} kernels", self.model, self.network, self.precision, self.instructions)?;
        let (batch, threads, engines) = (self.batch, self.threads, self.engines);
        writeln!(f, "run         batch {batch}, {threads} threads, {engines} engines, {} s", self.seconds)?;
        writeln!(f, "rows        {} different, {:.1} {} each", self.rows, self.units_per_row, self.units)?;
        writeln!(f, "rows/s      {:.1}", self.rows_per_second)?;
        writeln!(f, "{}/s    {:.0}", self.units, self.units_per_second)?;
        let Quantiles { min, p50, p99, .. } = self.ms_per_batch;
        writeln!(f, "ms a batch  min {min:.4}  median {p50:.4}  p99 {p99:.4}")?;
        let Share { gflop_per_row, gflop_per_row_computed, gflops_computed, gflops_peak, of_peak } =
            self.share;
        writeln!(f, "GFLOP a row {gflop_per_row:.6} defined, {gflop_per_row_computed:.6} computed")?;
        writeln!(
            f,
            "GFLOP/s     {gflops_computed:.1}, {:.0} % of the peak {gflops_peak:.1}",
            100.0 * of_peak
        )?;
        write!(f, "table       {} bytes", self.table_bytes)?;
        self.parts.iter().try_for_each(|parts| write!(f, "\n{parts}"))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inputs, bytes, units) = (self.inputs, self.bytes_per_input, self.units_per_input);
        writeln!(
            f,
            "outside the engine, one thread, us a row ({inputs} inputs, {bytes:.1} bytes, {units:.1} units each):"
        )?;
        let parts = [
            ("prepare, first time", self.prepare_first_us),
            ("prepare, again", self.prepare_us),
            ("present", self.present_us),
        ];
        for (index, (name, part)) in parts.into_iter().enumerate() {
            let ending = if index == 0 { "" } else { "\n" };
            let super::Part { min, median, mean, p99 } = part;
            write!(f, "{ending}  {name:<20}min {min:.2}  median {median:.2}  mean {mean:.2}  p99 {p99:.2}")?;
        }
        Ok(())
    }
}
