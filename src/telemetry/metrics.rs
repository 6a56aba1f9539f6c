//! Every metric's name, meaning and unit, and the functions that record them. Labels come from closed sets only.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

/// Installs the process's recorder, once; a second call returns the first one's handle.
pub fn install_metrics() -> PrometheusHandle {
    todo!()
}

/// A batch advanced one step: rows held.
pub fn record_step(_model: &str, _rows: usize, _took: Duration) {
    todo!()
}

/// A row left the batching layer: `outcome` is `answered`, `failed`, `expired`, `cancelled`, `refused` or `panicked`.
pub fn record_row(_model: &str, _outcome: &'static str, _queued: Duration) {
    todo!()
}

/// Rows waiting now.
pub fn record_queue(_model: &str, _rows: usize) {
    todo!()
}

/// A request was answered: matched route (never the raw path), method, status.
pub fn record_request(_route: &str, _method: &'static str, _status: u16, _took: Duration) {
    todo!()
}

/// A version was loaded, or refused.
pub fn record_load(_model: &str, _loaded: bool, _took: Duration) {
    todo!()
}
