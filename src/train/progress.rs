//! What a run says while it goes on: a bar on a terminal, plain lines elsewhere; both on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::position::EpochFigures;

/// Between two plain lines within an epoch.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The voice of a run.
pub(crate) struct Progress {
    on_epoch: fn(&EpochFigures),
    bar: Option<ProgressBar>,
    line: Instant,
    begun: Option<Begun>,
}

#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    rows: u64,
    rows_before: u64,
}

/// Where a run is within its epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The epoch under way, from 1.
    pub(crate) epoch: u64,
    /// Epochs in all.
    pub(crate) epochs: u64,
    /// Rows seen, over all epochs and resumptions.
    pub(crate) rows: u64,
    /// Mean loss of the epoch so far.
    pub(crate) loss: f64,
    /// Share answered rightly in the epoch so far.
    pub(crate) accuracy: f64,
}

impl Progress {
    /// A silent start; the bar comes with [`begin`](Self::begin). `on_epoch` is told of each epoch that ends.
    pub(crate) fn new(on_epoch: fn(&EpochFigures)) -> Self {
        Self { on_epoch, bar: None, line: Instant::now(), begun: None }
    }

    /// One line of news.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // Nobody may be listening; training goes on.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Training begins: `rows` are to be seen over all epochs, `rows_before` were seen before a resumption.
    pub(crate) fn begin(&mut self, rows: u64, rows_before: u64) {
        self.begun = Some(Begun { at: Instant::now(), rows, rows_before });
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(rows);
            let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent}% {per_sec} {eta} left");
            if let Ok(style) = style {
                bar.set_style(style.with_key(
                    "per_sec",
                    |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                        // A bar that cannot be written to is not worth ending a run for.
                        write!(out, "{:.0} samples/s", state.per_sec()).ok();
                    },
                ));
            }
            bar.set_position(rows_before);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    /// After each step.
    pub(crate) fn step(&mut self, moment: Moment) {
        let message = format!(
            "epoch {}/{} loss {:.4} accuracy {:.4}",
            moment.epoch, moment.epochs, moment.loss, moment.accuracy
        );
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(moment.rows);
        } else if self.line.elapsed() >= LINE_EVERY {
            self.line = Instant::now();
            self.say(&format!("{message} {}", self.pace(moment.rows)));
        }
    }

    /// After each epoch.
    pub(crate) fn epoch(&self, figures: &EpochFigures, epochs: u64, rows: u64) {
        self.say(&format!(
            "epoch {}/{epochs} train loss {:.4} accuracy {:.4}, valid loss {:.4} accuracy {:.4} macro-F1 {:.4} {}",
            figures.epoch,
            figures.train_loss,
            figures.train_accuracy,
            figures.valid_loss,
            figures.valid_accuracy,
            figures.valid_macro_f1,
            self.pace(rows),
        ));
        (self.on_epoch)(figures);
    }

    /// Training ends: the bar goes.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Samples a second and the time left.
    fn pace(&self, rows: u64) -> String {
        let Some(begun) = self.begun else { return String::new() };
        let pace = rows.saturating_sub(begun.rows_before) as f64 / begun.at.elapsed().as_secs_f64().max(1e-3);
        let left = begun.rows.saturating_sub(rows) as f64 / pace.max(1e-3);
        format!("({pace:.0} samples/s, {} left)", duration(left))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// `2 h 03 min`, `4 min 05 s`, `6 s`.
pub(crate) fn duration(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is only shown"
    )]
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown = [5.6, 245.0, 7380.0].map(duration);
        assert_eq!(shown, ["6 s", "4 min 05 s", "2 h 03 min"]);
    }
}
