//! Direct convolution: any kernel size and stride, the window read in place, bias and activation fused.
//!
//! Sketch, the first layer of the article's network (3 → 64 channels, 3 × 3, 14 × 14): 196 positions · 27 · 64 · 2 =
//! 0.68 MFLOP; weights 6.9 KB, once in L1; pixels 3 KB; result 50 KB. A register tile is 6 positions × 64 outputs, see
//! `tile`. A position is an offset into the map and the rows of its window are runs, so nothing is copied as in
//! im2col: with k channels a row of the window is kernel · k contiguous numbers.
//!
//! Error: a rounding a product, all in one sum: ≤ 1e-5 of the largest output (tested against f64).

use std::ops::Range;
use std::slice;

use super::aligned::Aligned;
use super::conv::{Layer, Maps, Shape};
use super::cpu::Level;
use super::crew::{Load, Team};
use super::curve::Curve;
use super::map::Map;
use super::panels::{BLOCK, Panels, padded, rounded};
use super::scatter::Scatter;
use super::tile::{Product, cut, multiply};

/// Positions of a map that fall to one thread at most, where threads share it: register tiles of 6 and of 8 rows.
const SHARED_POSITIONS: usize = 48;

/// A packed convolution. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Direct {
    level: Level,
    input: Map,
    output: Map,
    panels: Panels,
    bias: Aligned,
    curve: Curve,
    /// Where each position's window begins.
    rows: Vec<u32>,
    /// Where each position's result goes.
    outs: Vec<u32>,
    /// Where the runs of a window begin, and how long they are.
    runs: Vec<u32>,
    run: usize,
}

impl Direct {
    /// The layout that this convolution reads.
    #[must_use]
    pub fn input(shape: &Shape, map: Map) -> Map {
        map.bordered(shape.padding, 0, 0)
    }

    /// Packs a layer whose input has the layout that [`input`](Self::input) says.
    ///
    /// # Panics
    /// Pooling is to follow, or a map has 2³² numbers or more.
    #[must_use]
    pub fn new(level: Level, layer: &Layer<'_>) -> Self {
        let Layer { shape, weights, after, input, output } = *layer;
        assert!(after.pool.is_none(), "pooling is a pass of its own after a direct convolution");
        let level = level.or_below();
        let (kernel, inputs) = (shape.kernel, shape.inputs);
        let panels = Panels::pack(level, (1, kernel * kernel * inputs, shape.outputs), |_, step, output| {
            let (place, channel) = (step / inputs, step % inputs);
            rounded(weights.kernels[(output * inputs + channel) * kernel * kernel + place])
        });
        // Rows of the window are contiguous unless a position is padded to whole blocks.
        let (columns, contiguous) =
            if input.depth == inputs { (1, kernel * inputs) } else { (kernel, inputs) };
        let (parts, run) = cut(contiguous);
        let starts = grid(kernel, columns).flat_map(|(row, column)| {
            (0..parts).map(move |part| offset(input.corner(row, column) + part * run))
        });
        let positions = || grid(shape.out_height(), shape.out_width());
        let step = shape.stride;
        Self {
            level,
            input,
            output,
            panels,
            bias: padded(weights.bias),
            curve: after.curve,
            rows: positions().map(|(row, column)| offset(input.corner(row * step, column * step))).collect(),
            outs: positions().map(|(row, column)| offset(output.at(row, column))).collect(),
            runs: starts.collect(),
            run,
        }
    }

    /// Convolves the maps of a batch, each position by itself, by whichever thread of the team.
    ///
    /// # Panics
    /// A slice is shorter than that many maps.
    pub fn run(&self, team: &mut Team, maps: Maps<'_>) {
        let Maps { pictures, input, output } = maps;
        let input = &input[..pictures * self.input.len()];
        let output = Scatter::new(&mut output[..pictures * self.output.len()]);
        let products = pictures * self.outs.len() * self.panels.len();
        let cuts = |count: usize| Load { parts: count * pictures * self.panels.count(), products };
        let most = self.outs.len().div_ceil(SHARED_POSITIONS);
        let cut = if team.people(cuts(most)) > 1 { most } else { 1 };
        team.share(cuts(cut), &mut [], |parts, _| {
            // Panels outside, pictures inside: a panel is read once for all of them.
            for part in parts {
                let (panel, picture, piece) = (part / cut / pictures, part / cut % pictures, part % cut);
                let input = &input[picture * self.input.len()..][..self.input.len()];
                let output = output.from(picture * self.output.len());
                self.convolve(self.panels.cut(panel), self.piece(piece, cut), (input, output));
            }
        });
        if self.curve.is_smooth() {
            team.share(Load { parts: pictures * cut, products }, &mut [], |parts, _| {
                for part in parts {
                    self.smooth(self.piece(part % cut, cut), output.from(part / cut * self.output.len()));
                }
            });
        }
    }

    /// The positions of one of so many pieces of a map.
    fn piece(&self, piece: usize, pieces: usize) -> Range<usize> {
        let positions = self.outs.len();
        piece * positions / pieces..(piece + 1) * positions / pieces
    }

    /// The outputs of one panel for some positions of one picture's map; smooth activations are left to do.
    fn convolve(
        &self,
        (first, blocks): (usize, usize),
        positions: Range<usize>,
        (input, output): (&[f32], Scatter<'_>),
    ) {
        let product = Product {
            input,
            rows: &self.rows[positions.clone()],
            runs: &self.runs,
            run: self.run,
            panel: self.panels.panel(0, (first, blocks)),
            bias: Some(&self.bias[first * BLOCK..(first + blocks) * BLOCK]),
            floor: self.curve.floor(),
            outs: &self.outs[positions],
        };
        // SAFETY: a panel of a position is one thread's.
        unsafe { multiply(self.level, &product, output.from(first * BLOCK)) };
    }

    /// The activation of some positions of one picture's map.
    fn smooth(&self, positions: Range<usize>, output: Scatter<'_>) {
        for &at in &self.outs[positions] {
            let depth = self.output.depth;
            // SAFETY: the position's channels are inside, initialised, and this thread's.
            let channels = unsafe { slice::from_raw_parts_mut(output.at(at as usize, depth), depth) };
            self.curve.smooth_all(self.level, channels);
        }
    }
}

/// Rows and columns, row by row.
fn grid(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

/// An offset in a picture's map.
#[expect(
    clippy::expect_used,
    reason = "a map is at most `CONV_MAP_VALUES_MAX` numbers, checked before packing"
)]
fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a map of fewer than 2^32 numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv::After;
    use crate::kernels::conv::oracle::Case;

    fn convolve(level: Level, case: &Case, after: After, packed: bool) -> f64 {
        let shape = &case.shape;
        let map = Map::new(shape.height, shape.width, shape.inputs);
        let input = Direct::input(shape, if packed { map.packed() } else { map });
        let map = case.output(false);
        let layer = Direct::new(level, &case.layer(after, (input, map)));
        let mut output = Aligned::zeros(case.pictures.len() * map.len());
        let maps = Maps { pictures: case.pictures.len(), input: &case.placed(&input), output: &mut output };
        layer.run(&mut Team::default(), maps);
        case.error(after, &map, &output)
    }

    #[test]
    fn every_size_step_and_number_of_channels_is_within_1e_5_of_f64() {
        // height, width, inputs, outputs, kernel, stride, padding
        let shapes = [
            (1, 1, 1, 1, 1, 1, 0),
            (5, 7, 3, 17, 3, 1, 1),
            (14, 14, 3, 64, 3, 1, 1),
            (6, 5, 16, 33, 1, 1, 0),
            (9, 8, 20, 40, 3, 2, 1),
            (11, 7, 4, 70, 5, 1, 2),
            (12, 13, 33, 48, 5, 3, 0),
            (9, 9, 3, 80, 7, 2, 3),
            (3, 3, 100, 16, 3, 1, 1),
            (7, 9, 2, 130, 2, 2, 0),
        ];
        for level in Level::available() {
            for (seed, (height, width, inputs, outputs, kernel, stride, padding)) in
                shapes.into_iter().enumerate()
            {
                let shape = Shape { height, width, inputs, outputs, kernel, stride, padding };
                let case = Case::new(shape, 2, seed as u64);
                for (curve, packed) in [(Curve::Relu, true), (Curve::Silu, false), (Curve::Identity, false)] {
                    let error = convolve(level, &case, After { curve, pool: None }, packed);
                    assert!(error <= 1e-5, "{level:?} {shape:?} {curve:?}: {error:e}");
                }
            }
        }
    }
}
