//! The composition root: settings → parts → running server → drained.
