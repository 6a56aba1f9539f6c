//! A few outputs of very many inputs: the linear layer behind a flattened map.
//!
//! Sketch, 6,272 → 10 for a picture: 125 kFLOP and 250 KB of weights. A panel of 16 outputs would waste 6 of them, so a
//! sum is spread over the lanes of one vector, and 4 outputs × 4 pictures (AVX2: 2) are summed at a time: 16 sums, 4
//! vectors of weights and one of inputs, 8 loads for 16 products; a batch of 32 reads the weights 8 times. A picture
//! alone is bound by the weights, which come from L2.
//!
//! A sum is lane by lane in order, then the lanes in order: it does not depend on the picture's company.
//! Error: ≤ 1e-6 of the sum of magnitudes (tested against f64).
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::needless_range_loop, reason = "a reference to one sum would keep all of them in memory")]

use std::ops::Range;

use super::aligned::Aligned;
use super::checked::Checked;
use super::cpu::Level;
use super::crew::{Load, Team};
use super::lanes::{self, Kernel, Lanes};
use super::panels::BLOCK;
use super::scatter::Scatter;

/// Outputs that fall to one thread at most, where threads share them.
const SHARED_OUTPUTS: usize = 2;

/// The weights and bias of a linear layer. Shared between threads; nothing changes it.
#[derive(Clone, Debug)]
pub struct Dot {
    level: Level,
    inputs: usize,
    weights: Aligned,
    bias: Vec<f32>,
}

impl Dot {
    /// A layer of `bias.len()` outputs; `weight(output, input)` is asked for each weight.
    ///
    /// # Panics
    /// `inputs` is not whole blocks of 16.
    #[must_use]
    pub fn new(level: Level, inputs: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Self {
        assert!(inputs.is_multiple_of(BLOCK), "inputs in blocks of 16");
        let mut weights = Aligned::zeros(inputs * bias.len());
        for (output, row) in weights.chunks_exact_mut(inputs.max(1)).enumerate() {
            for (input, place) in row.iter_mut().enumerate() {
                *place = weight(output, input);
            }
        }
        Self { level: level.or_below(), inputs, weights, bias: bias.to_vec() }
    }

    /// Outputs of the layer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// bias + weights · row, for each row of `inputs` numbers.
    ///
    /// # Panics
    /// `input` and `output` are not as many whole rows.
    pub fn run(&self, team: &mut Team, input: &[f32], output: &mut [f32]) {
        let rows = input.len() / self.inputs;
        assert!(input.len() == rows * self.inputs, "whole rows");
        assert!(output.len() == rows * self.outputs(), "a row of outputs for every row of inputs");
        let outputs = self.outputs();
        let load = |parts| Load { parts, products: rows * self.weights.len() };
        let most = outputs.div_ceil(SHARED_OUTPUTS);
        let parts = if team.people(load(most)) > 1 { most } else { 1 };
        let output = Scatter::new(output);
        team.share(load(parts), &mut [], |claimed, _| {
            for part in claimed {
                let outputs = part * outputs / parts..(part + 1) * outputs / parts;
                lanes::run(self.level, Task { layer: self, rows, outputs, input, output });
            }
        });
    }
}

struct Task<'a> {
    layer: &'a Dot,
    rows: usize,
    outputs: Range<usize>,
    input: &'a [f32],
    output: Scatter<'a>,
}

impl Kernel for Task<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller promises the instructions.
        let machine = unsafe { Checked::<V>::assume() };
        let most = if V::REGISTERS < 32 { 2 } else { 4 };
        let mut row = 0;
        while row < self.rows {
            row += match (self.rows - row).min(most) {
                4 => self.outputs::<V, 4>(machine, row),
                2 | 3 => self.outputs::<V, 2>(machine, row),
                _ => self.outputs::<V, 1>(machine, row),
            };
        }
    }
}

impl Task<'_> {
    /// The outputs of `R` rows; how many rows that were.
    #[inline(always)]
    fn outputs<V: Lanes, const R: usize>(&self, machine: Checked<V>, row: usize) -> usize {
        let mut output = self.outputs.start;
        while output < self.outputs.end {
            output += match self.outputs.end - output {
                1 => self.tile::<V, R, 1>(machine, row, output),
                2 | 3 => self.tile::<V, R, 2>(machine, row, output),
                _ => self.tile::<V, R, 4>(machine, row, output),
            };
        }
        R
    }

    /// `N` outputs of `R` rows; how many outputs that were.
    #[inline(always)]
    fn tile<V: Lanes, const R: usize, const N: usize>(
        &self,
        machine: Checked<V>,
        row: usize,
        output: usize,
    ) -> usize {
        let inputs = self.layer.inputs;
        let rows = &self.input[row * inputs..][..R * inputs];
        let weights = &self.layer.weights[output * inputs..][..N * inputs];
        let mut sums = [[machine.splat(0.0); N]; R];
        for at in (0..inputs).step_by(V::WIDTH) {
            let mut vectors = [machine.splat(0.0); N];
            for n in 0..N {
                vectors[n] = machine.load(weights, n * inputs + at);
            }
            for r in 0..R {
                let value = machine.load(rows, r * inputs + at);
                for n in 0..N {
                    sums[r][n] = value.mul_add(vectors[n], sums[r][n]);
                }
            }
        }
        for r in 0..R {
            for n in 0..N {
                let mut lanes = [0.0; BLOCK];
                machine.store(sums[r][n], &mut lanes, 0);
                let sum: f32 = lanes.iter().sum();
                let place = self.output.at((row + r) * self.layer.outputs() + output + n, 1);
                // SAFETY: it is inside, and this output is one thread's.
                unsafe { *place = self.layer.bias[output + n] + sum };
            }
        }
        N
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_and_outputs_is_near_f64_and_the_same_alone() {
        const INPUTS: usize = 208;
        let input: Vec<f32> = (0..9 * INPUTS).map(|at| ((at * 31 % 97) as f32 - 48.0) / 48.0).collect();
        let weight = |output: usize, input: usize| ((output * 57 + input * 13) % 89) as f32 / 44.0 - 1.0;
        for level in Level::available() {
            for outputs in 1..=11 {
                let bias: Vec<f32> = (0..outputs).map(|output| output as f32).collect();
                let layer = Dot::new(level, INPUTS, &bias, weight);
                for rows in 0..=9 {
                    let mut together = vec![0.0; rows * outputs];
                    layer.run(&mut Team::default(), &input[..rows * INPUTS], &mut together);
                    for (row, together) in input.chunks_exact(INPUTS).zip(together.chunks_exact(outputs)) {
                        let mut alone = vec![0.0; outputs];
                        layer.run(&mut Team::default(), row, &mut alone);
                        assert_eq!(alone, together, "{level:?}");
                        for (output, found) in together.iter().enumerate() {
                            let products = row.iter().enumerate();
                            let products =
                                products.map(|(at, x)| f64::from(*x) * f64::from(weight(output, at)));
                            let (sum, size) = products.fold((0.0, 0.0), |(a, b), x| (a + x, b + f64::abs(x)));
                            let error = (f64::from(*found) - f64::from(bias[output]) - sum).abs();
                            assert!(error <= 1e-6 * size, "{level:?} {rows} × {outputs}: {error:e}");
                        }
                    }
                }
            }
        }
    }
}
