//! Preparation of a service's inputs: short ones where they are, the others on the blocking pool, in bounded number.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::super::{PrepareError, Prepared};
use super::{Config, Error, Shared};
use crate::batch;
use crate::limits::{TEXT_BYTES_INLINE_MAX, TEXT_BYTES_MAX};
use crate::model::InputPreparation;
use crate::value::Input;

/// Preparations on the blocking pool at once, of all models together: two a core, so that one that waits for memory
/// leaves no core idle, and no flood of pictures starves the workers.
pub(super) static PREPARATIONS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Arc::new(Semaphore::new(2 * cores))
});

/// What waits for, or is in, preparation on the blocking pool.
#[derive(Debug)]
pub(super) struct Preparing {
    rows: Bounded,
    /// Of pictures that are prepared until all those are that came with them.
    pixels: Bounded,
    /// Pixels of one picture as the network sees it; 0 of a model of texts.
    picture_pixels: usize,
}

/// A count and its bound.
#[derive(Debug)]
struct Bounded {
    unit: &'static str,
    count: AtomicUsize,
    max: usize,
}

impl Bounded {
    fn new(unit: &'static str, max: usize) -> Self {
        Self { unit, count: AtomicUsize::new(0), max: max.max(1) }
    }

    /// Whether so many more, which are counted by now, are within the bound.
    fn check(&self, asked: usize, before: usize) -> Result<(), batch::Error> {
        let (unit, max) = (self.unit, self.max);
        if asked > max && asked > 1 {
            return Err(batch::Error::TooLarge { unit, asked, max });
        }
        if asked > max.saturating_sub(before) {
            let retry_after = Duration::from_secs(1);
            return Err(batch::Error::Full { unit, asked, waiting: before, max, retry_after });
        }
        Ok(())
    }
}

impl Preparing {
    /// Nothing yet, within the bounds of the queue that it goes to.
    pub(super) fn new(preparation: &InputPreparation, config: &Config) -> Self {
        let picture_pixels = match preparation {
            InputPreparation::Picture(picture) => picture.width * picture.height,
            InputPreparation::Text(_) => 0,
        };
        Self {
            rows: Bounded::new(batch::ROWS, config.queue_rows_max),
            pixels: Bounded::new("pixels", config.queue_pixels_max),
            picture_pixels,
        }
    }

    /// Rows that may be in preparation: as many as may wait.
    pub(super) fn rows_max(&self) -> usize {
        self.rows.max
    }
}

/// A place among what is in preparation; given back when dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    rows: usize,
    pixels: usize,
}

impl Place {
    /// For a row that goes to the queue as soon as it is prepared.
    fn of_one(shared: &Arc<Shared>) -> Result<Self, batch::Error> {
        Self::take(shared, 1, 0)
    }

    /// For rows that go to the queue when all of them are prepared.
    fn of_many(shared: &Arc<Shared>, rows: usize) -> Result<Self, batch::Error> {
        Self::take(shared, rows, rows.saturating_mul(shared.preparing.picture_pixels))
    }

    fn take(shared: &Arc<Shared>, rows: usize, pixels: usize) -> Result<Self, batch::Error> {
        let place = Self { shared: Arc::clone(shared), rows, pixels };
        let preparing = &shared.preparing;
        let rows_before = preparing.rows.count.fetch_add(rows, Ordering::Relaxed);
        let pixels_before = preparing.pixels.count.fetch_add(pixels, Ordering::Relaxed);
        preparing.rows.check(rows, rows_before)?;
        preparing.pixels.check(pixels, pixels_before)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.preparing.rows.count.fetch_sub(self.rows, Ordering::Relaxed);
        self.shared.preparing.pixels.count.fetch_sub(self.pixels, Ordering::Relaxed);
    }
}

/// Rows that were prepared together, each by itself, and their place until they are queued.
pub(super) struct PreparedRows {
    pub(super) rows: Vec<Result<Prepared, Error>>,
    pub(super) place: Option<Arc<Place>>,
}

impl Shared {
    pub(super) async fn prepare(
        self: &Arc<Self>,
        input: Input,
        deadline: Option<Instant>,
    ) -> Result<Prepared, Error> {
        if is_short(&input) {
            return self.prepare_here(&input);
        }
        self.prepare_aside(input, deadline, Place::of_one(self)?).await
    }

    /// Prepares inputs side by side.
    ///
    /// # Errors
    /// There is no room for all of those that take long; none was prepared.
    pub(super) async fn prepare_all(
        self: &Arc<Self>,
        inputs: Vec<Input>,
        deadline: Option<Instant>,
    ) -> Result<PreparedRows, Error> {
        let long = inputs.iter().filter(|input| !is_short(input)).count();
        if long == 0 {
            let rows = inputs.iter().map(|input| self.prepare_here(input)).collect();
            return Ok(PreparedRows { rows, place: None });
        }
        let place = Arc::new(Place::of_many(self, long)?);
        let prepare = async |input: Input| {
            if is_short(&input) {
                self.prepare_here(&input)
            } else {
                self.prepare_aside(input, deadline, Arc::clone(&place)).await
            }
        };
        let rows = join_all(inputs.into_iter().map(prepare)).await;
        Ok(PreparedRows { rows, place: Some(place) })
    }

    fn prepare_here(&self, input: &Input) -> Result<Prepared, Error> {
        caught(|| self.preparer.prepare(input))
    }

    /// Prepares on the blocking pool, with a permit that lasts until the work is over, even when its caller is gone, as
    /// its place does.
    async fn prepare_aside(
        self: &Arc<Self>,
        input: Input,
        deadline: Option<Instant>,
        place: impl Send + 'static,
    ) -> Result<Prepared, Error> {
        let begun = Instant::now();
        let permit = Arc::clone(&PREPARATIONS).acquire_owned();
        let permit = match deadline {
            None => permit.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), permit)
                .await
                .map_err(|_| batch::Error::Expired { waited: begun.elapsed() })?,
        };
        let permit = permit.map_err(|_| batch::Error::Closed)?;
        let shared = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let _held = (place, permit);
            shared.prepare_here(&input)
        });
        work.await.map_err(|_| Error::Panicked)?
    }
}

/// Whether preparing it takes less time than handing it to another thread.
fn is_short(input: &Input) -> bool {
    match input {
        // Too long for any model counts as short: it is refused by its length alone.
        Input::Text(text) => text.len() <= TEXT_BYTES_INLINE_MAX || text.len() > TEXT_BYTES_MAX,
        Input::Ready(_) => true,
        Input::Picture(_) | Input::Pixels(_) => false,
    }
}

pub(super) fn caught(prepare: impl FnOnce() -> Result<Prepared, PrepareError>) -> Result<Prepared, Error> {
    let prepared = catch_unwind(AssertUnwindSafe(prepare)).map_err(|_| Error::Panicked)?;
    prepared.map_err(Error::Input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Fit, Preparation};

    #[test]
    fn pictures_that_are_prepared_together_are_bounded_by_their_pixels() {
        let picture = Preparation {
            channels: 3,
            height: 20,
            width: 10,
            fit: Fit::Stretch,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
        };
        let config = Config { queue_rows_max: 8, queue_pixels_max: 1000, ..Config::default() };
        let preparing = Preparing::new(&InputPreparation::Picture(picture), &config);
        assert_eq!((preparing.picture_pixels, preparing.rows_max()), (200, 8));
        let check = |asked, before| {
            preparing.pixels.check(asked, before).map_err(|error| match error {
                batch::Error::Full { unit: "pixels", .. } => "full",
                batch::Error::TooLarge { unit: "pixels", max: 1000, .. } => "too large",
                other => panic!("{other}"),
            })
        };
        let cases = [
            ((1000, 0), Ok(())),
            ((600, 400), Ok(())),
            ((600, 401), Err("full")),
            ((1001, 0), Err("too large")),
        ];
        for ((asked, before), expected) in cases {
            assert_eq!(check(asked, before), expected, "{asked} after {before}");
        }
        // Of one picture that waits for its turn nothing is counted: only its bytes are there.
        assert_eq!(check(0, 2000), Ok(()));
    }
}
