//! Writing what comes out of a tile: all positions, or the maxima or means of its windows of 2 × 2.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::needless_range_loop, reason = "a reference to one vector would keep all of them in memory")]

use super::forms::Form;
use crate::kernels::checked::Checked;
use crate::kernels::lanes::Lanes;
use crate::kernels::map::Map;
use crate::kernels::pool::Kind;
use crate::kernels::scatter::Scatter;

/// Where a tile is: picture of the batch, row and column of tiles.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) picture: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// What comes out of a tile, one vector of channels, and where it belongs.
pub(super) struct Tile<V> {
    pub(super) sums: [[V; 4]; 4],
    pub(super) place: Place,
    /// The first channel of the vector.
    pub(super) channel: usize,
}

impl<V: Lanes> Tile<V> {
    /// Writes the part that is inside the map.
    #[inline(always)]
    pub(super) fn write<F: Form>(&self, map: &Map, output: Scatter<'_>) {
        let &Self { sums, place, channel } = self;
        let (row, column) = (place.row * F::OUT, place.column * F::OUT);
        let from = place.picture * map.len() + channel;
        for y in 0..F::OUT {
            for x in 0..F::OUT {
                if row + y < map.height && column + x < map.width {
                    store(sums[y][x], output, from + map.at(row + y, column + x));
                }
            }
        }
    }

    /// Writes the maxima or means of the windows that are whole.
    #[inline(always)]
    pub(super) fn write_pooled<F: Form>(
        &self,
        machine: Checked<V>,
        (map, kind): (&Map, Kind),
        output: Scatter<'_>,
    ) {
        let &Self { sums, place, channel } = self;
        let (row, column) = (place.row * F::OUT / 2, place.column * F::OUT / 2);
        let from = place.picture * map.len() + channel;
        for y in 0..F::OUT / 2 {
            for x in 0..F::OUT / 2 {
                let [a, b] = [sums[2 * y][2 * x], sums[2 * y][2 * x + 1]];
                let [c, d] = [sums[2 * y + 1][2 * x], sums[2 * y + 1][2 * x + 1]];
                let value = match kind {
                    Kind::Max => a.max(b).max(c.max(d)),
                    Kind::Average => a.add(b).add(c.add(d)).mul(machine.splat(0.25)),
                };
                if row + y < map.height && column + x < map.width {
                    store(value, output, from + map.at(row + y, column + x));
                }
            }
        }
    }
}

/// Writes the channels of a position of a tile.
#[inline(always)]
fn store<V: Lanes>(vector: V, output: Scatter<'_>, at: usize) {
    // SAFETY: the place has room for a vector. A tile is written once for each of its channels, by one thread.
    unsafe { vector.store(output.at(at, V::WIDTH)) }
}
