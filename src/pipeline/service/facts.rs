//! What a running version is, for those that describe it.

use std::sync::Arc;
use std::time::Duration;

use candle_core::{Device, DeviceLocation};

use super::Pipeline;
use crate::text::Tokenizer;
use crate::value::Logits;

impl Pipeline {
    /// Worker threads.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Rows of a request at most, where that is fewer than any request may have.
    #[must_use]
    pub fn request_rows_max(&self) -> Option<usize> {
        self.shared.request_rows_max
    }

    /// Rows that may wait.
    #[must_use]
    pub fn queue_rows_max(&self) -> usize {
        self.shared.preparing.rows_max()
    }

    /// The labels, in the manifest's order.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        self.shared.presenter.labels()
    }

    /// The logit of every label, in the manifest's order: what softmax or sigmoid makes its score of. `None` when the
    /// answer is the mean of several positions, of which each has its own.
    #[must_use]
    pub fn label_logits(&self, logits: &Logits) -> Option<Vec<f32>> {
        self.shared.presenter.label_logits(logits)
    }

    /// What makes tokens of texts; of a model of texts.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.shared.preparer.tokenizer()
    }

    /// Rows waiting now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.batch.queued()
    }

    /// How long the longest step under way has been running; readiness ends when a worker hangs.
    #[must_use]
    pub fn longest_step(&self) -> Duration {
        self.shared.batch.longest_step()
    }
}

/// What a device is called: `cpu` or `cuda:0`.
pub(super) fn device_name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".into(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}
