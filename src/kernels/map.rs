//! How a picture's channels lie in memory between two layers: channels last, in a border of zeros.
//!
//! The border is the padding of the layer that reads the map (and, to the right and below, room for its last tiles).
//! It is written once, when the memory is made; layers write only inside, so padding costs nothing.

use super::panels::BLOCK;

/// The layout of one picture's map: `rows × columns` positions of `depth` f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Positions from top to bottom, without border.
    pub height: usize,
    /// Positions from left to right, without border.
    pub width: usize,
    /// Channels that mean something.
    pub channels: usize,
    /// f32 of a position: the channels, and zeros up to a whole number of blocks of 16 (except for pixels).
    pub depth: usize,
    /// Rows above and columns left of the map.
    pub border: usize,
    /// Positions from top to bottom with the border.
    pub rows: usize,
    /// Positions from left to right with the border.
    pub columns: usize,
}

#[expect(clippy::len_without_is_empty, reason = "a map has at least one position")]
impl Map {
    /// A map of `height × width` positions without border, in blocks of 16 channels.
    #[must_use]
    pub fn new(height: usize, width: usize, channels: usize) -> Self {
        let depth = channels.next_multiple_of(BLOCK);
        Self { height, width, channels, depth, border: 0, rows: height, columns: width }
    }

    /// The same with exactly as many f32 a position as there are channels: the pixels of a picture.
    #[must_use]
    pub fn packed(self) -> Self {
        Self { depth: self.channels, ..self }
    }

    /// The same in a border of zeros: so many positions above and left, so many rows and columns in all at least.
    #[must_use]
    pub fn bordered(self, border: usize, rows: usize, columns: usize) -> Self {
        let rows = rows.max(self.height + 2 * border);
        Self { border, rows, columns: columns.max(self.width + 2 * border), ..self }
    }

    /// f32 of one picture.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.columns * self.depth
    }

    /// Where a position's channels begin.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> usize {
        ((row + self.border) * self.columns + column + self.border) * self.depth
    }

    /// Where a position of the border and all begins.
    pub(super) fn corner(&self, row: usize, column: usize) -> usize {
        (row * self.columns + column) * self.depth
    }

    /// Lays out pixels, channel by channel and row by row, in the map.
    ///
    /// # Panics
    /// There are more or fewer than the map has, or `map` is shorter than [`len`](Self::len).
    pub fn place(&self, pixels: &[f32], map: &mut [f32]) {
        let area = self.height * self.width;
        assert_eq!(pixels.len(), self.channels * area, "pixels of another size");
        for (channel, plane) in pixels.chunks_exact(area).enumerate() {
            for (row, line) in plane.chunks_exact(self.width).enumerate() {
                let positions = map[self.at(row, 0) + channel..].iter_mut().step_by(self.depth);
                for (value, place) in line.iter().zip(positions) {
                    *place = *value;
                }
            }
        }
    }
}
