//! A version's statistics as a message.

use std::collections::BTreeMap;

use super::inference::{
    InferBatchStatistics, InferStatistics, ModelStatistics as Message, StatisticDuration as Duration,
};
use crate::http::oip::statistics::{
    BatchStatistics, InferenceStatistics, ModelStatistics, StatisticDuration,
};

/// The message.
pub(super) fn message(statistics: ModelStatistics) -> Message {
    Message {
        name: statistics.name,
        version: statistics.version,
        last_inference: statistics.last_inference,
        inference_count: statistics.inference_count,
        execution_count: statistics.execution_count,
        inference_stats: Some(requests(statistics.inference_stats)),
        batch_stats: statistics.batch_stats.into_iter().map(batch).collect(),
        // A request has one response, and memory is not told.
        memory_usage: Vec::new(),
        response_stats: BTreeMap::new(),
    }
}

fn requests(of: InferenceStatistics) -> InferStatistics {
    InferStatistics {
        success: duration(of.success),
        fail: duration(of.fail),
        queue: duration(of.queue),
        compute_input: duration(of.compute_input),
        compute_infer: duration(of.compute_infer),
        compute_output: duration(of.compute_output),
        cache_hit: duration(of.cache_hit),
        cache_miss: duration(of.cache_miss),
    }
}

fn batch(of: BatchStatistics) -> InferBatchStatistics {
    InferBatchStatistics {
        batch_size: of.batch_size,
        compute_input: duration(of.compute_input),
        compute_infer: duration(of.compute_infer),
        compute_output: duration(of.compute_output),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "messages in messages are optional")]
fn duration(StatisticDuration { count, ns }: StatisticDuration) -> Option<Duration> {
    Some(Duration { count, ns })
}
