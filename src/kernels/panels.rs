//! Weights in panels: the order in which a register tile reads them.

use super::aligned::Aligned;
use super::cpu::Level;

/// Channels of a block: maps and weights are padded to whole blocks.
pub(super) const BLOCK: usize = 16;

/// A matrix of `steps` rows and some columns (outputs, padded with zeros to blocks of 16), cut into panels of a few
/// blocks; a panel is `steps × 16 · blocks` weights, step by step. Several matrices of one size lie panel by panel.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    weights: Aligned,
    /// First block and number of blocks of every panel.
    cuts: Vec<(usize, usize)>,
    steps: usize,
    matrices: usize,
}

impl Panels {
    /// Packs `matrices` matrices; `weight(matrix, step, output)` is asked for each weight.
    pub(super) fn pack(
        level: Level,
        (matrices, steps, outputs): (usize, usize, usize),
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let cuts = cuts(outputs.div_ceil(BLOCK), blocks_max(level));
        let mut weights = Aligned::zeros(matrices * steps * outputs.next_multiple_of(BLOCK));
        let mut at = 0;
        for &(first, blocks) in &cuts {
            for matrix in 0..matrices {
                for step in 0..steps {
                    for output in first * BLOCK..(first + blocks) * BLOCK {
                        if output < outputs {
                            weights[at] = weight(matrix, step, output);
                        }
                        at += 1;
                    }
                }
            }
        }
        Self { weights, cuts, steps, matrices }
    }

    /// Number of panels.
    pub(super) fn count(&self) -> usize {
        self.cuts.len()
    }

    /// A panel: first block of outputs, number of blocks.
    pub(super) fn cut(&self, panel: usize) -> (usize, usize) {
        self.cuts[panel]
    }

    /// Weights of all panels.
    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    /// The weights of one matrix in one panel.
    pub(super) fn panel(&self, matrix: usize, (first, blocks): (usize, usize)) -> &[f32] {
        let len = self.steps * blocks * BLOCK;
        let from = self.matrices * self.steps * first * BLOCK + matrix * len;
        &self.weights[from..from + len]
    }

    /// Blocks of the widest panel.
    pub(super) fn blocks_max(&self) -> usize {
        self.cuts.iter().map(|(_, blocks)| *blocks).max().unwrap_or(0)
    }
}

/// One number an output, padded with zeros to whole blocks.
pub(super) fn padded(values: &[f64]) -> Aligned {
    let mut padded = Aligned::zeros(values.len().next_multiple_of(BLOCK));
    for (to, from) in padded.iter_mut().zip(values) {
        *to = rounded(*from);
    }
    padded
}

/// A weight as kernels have it.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
pub(super) fn rounded(weight: f64) -> f32 {
    weight as f32
}

/// Blocks of a panel at most: four vectors of AVX-512, two of AVX2.
fn blocks_max(level: Level) -> usize {
    match level {
        Level::Amx | Level::Avx512 => 4,
        Level::Avx2 | Level::Scalar => 1,
    }
}

/// Cuts `blocks` into as few panels of `most` as there can be, evenly.
fn cuts(blocks: usize, most: usize) -> Vec<(usize, usize)> {
    let count = blocks.div_ceil(most);
    let mut first = 0;
    (0..count)
        .map(|panel| {
            let size = (blocks - first).div_ceil(count - panel);
            first += size;
            (first - size, size)
        })
        .collect()
}
