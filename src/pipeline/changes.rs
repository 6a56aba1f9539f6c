//! What a request to load a model may change of how its versions are run, over what the settings say.

use super::Config;

/// Changes of how a model is run; what is `None` is as the settings say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Rows that a request may have, and that a worker computes together at most.
    pub rows_max: Option<usize>,
    /// Worker threads.
    pub workers: Option<usize>,
    /// Rows that may wait.
    pub queue_rows_max: Option<usize>,
}

impl Changes {
    /// The settings with these changes.
    #[must_use]
    pub fn over(self, settings: &Config) -> Config {
        Config {
            request_rows_max: self.rows_max.or(settings.request_rows_max),
            engine_rows: self.rows_max.or(settings.engine_rows),
            workers: self.workers.unwrap_or(settings.workers),
            queue_rows_max: self.queue_rows_max.unwrap_or(settings.queue_rows_max),
            ..settings.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_as_before() {
        let settings = Config { workers: 3, engine_rows: Some(4), ..Config::default() };
        let same = Changes::default().over(&settings);
        assert_eq!((same.workers, same.engine_rows, same.request_rows_max), (3, Some(4), None));
        assert_eq!(same.queue_rows_max, settings.queue_rows_max);
        let changes = Changes { rows_max: Some(2), workers: Some(1), queue_rows_max: Some(9) };
        let own = changes.over(&settings);
        assert_eq!((own.workers, own.engine_rows, own.request_rows_max), (1, Some(2), Some(2)));
        assert_eq!(own.queue_rows_max, 9);
    }
}
