//! Pooling as a pass of its own, where it could not be fused into the convolution before it.
//!
//! Sketch: a window of n × n is n² loads and n² - 1 maxima (or sums, and one product) a vector; a map of 14 × 14 × 128
//! halved is 1,568 loads of 64 bytes, 100 KB: some 2 µs from L2.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use super::checked::Checked;
use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};
use super::map::Map;

/// Maximum or mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// Pooling over windows without padding, from one layout to another.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The instructions; the level below where the machine lacks them.
    pub level: Level,
    /// Maximum or mean.
    pub kind: Kind,
    /// Rows and columns of the window.
    pub window: (usize, usize),
    /// Step of the window.
    pub stride: usize,
    /// The layout that is read.
    pub input: Map,
    /// The layout that is written, of as many channels.
    pub output: Map,
}

impl Pool {
    /// Pools the maps of a batch.
    ///
    /// # Panics
    /// A slice is shorter than that many maps.
    pub fn run(&self, pictures: usize, input: &[f32], output: &mut [f32]) {
        let inputs = input[..pictures * self.input.len()].chunks_exact(self.input.len());
        let outputs = output[..pictures * self.output.len()].chunks_exact_mut(self.output.len());
        for (input, output) in inputs.zip(outputs) {
            lanes::run(self.level, Task { pool: self, input, output });
        }
    }
}

struct Task<'a> {
    pool: &'a Pool,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Task<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller promises the instructions.
        let machine = unsafe { Checked::<V>::assume() };
        let Self { pool, input, output } = self;
        for row in 0..pool.output.height {
            for column in 0..pool.output.width {
                let from = pool.input.at(row * pool.stride, column * pool.stride);
                let to = pool.output.at(row, column);
                for channel in (0..pool.output.depth).step_by(V::WIDTH) {
                    let value = window(machine, pool, input, from + channel);
                    machine.store(value, output, to + channel);
                }
            }
        }
    }
}

/// One vector of channels of the window whose first is at `from`.
#[inline(always)]
fn window<V: Lanes>(machine: Checked<V>, pool: &Pool, input: &[f32], from: usize) -> V {
    let (height, width) = pool.window;
    let mut result = machine.load(input, from);
    for row in 0..height {
        for column in 0..width {
            if row + column > 0 {
                let value = machine.load(input, from + pool.input.corner(row, column));
                result = match pool.kind {
                    Kind::Max => result.max(value),
                    Kind::Average => result.add(value),
                };
            }
        }
    }
    match pool.kind {
        Kind::Max => result,
        Kind::Average => result.mul(machine.splat(1.0 / (height * width) as f32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::aligned::Aligned;

    #[test]
    fn windows_of_any_size_and_step_are_pooled_inside_the_border() {
        let input = Map::new(7, 9, 20).bordered(2, 0, 0);
        let pixels: Vec<f32> = (0..20 * 7 * 9).map(|at| ((at * 37) % 101) as f32 - 50.0).collect();
        let mut placed = Aligned::zeros(input.len());
        input.place(&pixels, &mut placed);
        for level in Level::available() {
            for (window, stride) in
                [((2, 2), 2), ((3, 3), 2), ((3, 3), 1), ((2, 2), 3), ((7, 9), 1), ((1, 1), 1)]
            {
                let (height, width) = ((7 - window.0) / stride + 1, (9 - window.1) / stride + 1);
                let output = Map::new(height, width, 20).bordered(1, 0, 0);
                for kind in [Kind::Max, Kind::Average] {
                    let mut pooled = Aligned::zeros(output.len());
                    Pool { level, kind, window, stride, input, output }.run(1, &placed, &mut pooled);
                    for (channel, plane) in pixels.chunks_exact(63).enumerate() {
                        for place in 0..height * width {
                            let (row, column) = (place / width, place % width);
                            let values: Vec<f32> = (0..window.0 * window.1)
                                .map(|at| {
                                    (row * stride + at / window.1) * 9 + column * stride + at % window.1
                                })
                                .map(|at| plane[at])
                                .collect();
                            let expected = match kind {
                                Kind::Max => values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                                Kind::Average => values.iter().sum::<f32>() / values.len() as f32,
                            };
                            let found = pooled[output.at(row, column) + channel];
                            assert!(
                                (found - expected).abs() < 1e-5,
                                "{level:?} {kind:?} {window:?}/{stride}"
                            );
                        }
                    }
                }
            }
        }
    }
}
