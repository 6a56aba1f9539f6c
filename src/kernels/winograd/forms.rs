//! The transforms of F(2×2, 3×3) and F(4×4, 3×3), in one dimension; a tile is transformed column by column, then row
//! by row. Interpolation points 0, ±1, ∞ and 0, ±1, ±2, ∞ (Lavin and Gray, 2015, §4).
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use crate::kernels::lanes::Lanes;
use crate::kernels::panels::rounded;

/// One size of tile. Arrays have the room of the larger; the smaller leaves the rest alone.
pub(super) trait Form {
    /// Outputs of a tile.
    const OUT: usize;
    /// Inputs of a tile: outputs + 2.
    const IN: usize;
    /// G, `IN × 3`.
    const WEIGHTS: &'static [[f64; 3]];

    /// Bᵀ d
    fn input<V: Lanes>(d: [V; 6]) -> [V; 6];
    /// Aᵀ m
    fn output<V: Lanes>(m: [V; 6]) -> [V; 4];
}

/// F(2×2, 3×3)
pub(super) struct Two;

impl Form for Two {
    const OUT: usize = 2;
    const IN: usize = 4;
    const WEIGHTS: &'static [[f64; 3]] =
        &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn input<V: Lanes>(d: [V; 6]) -> [V; 6] {
        [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3]), d[4], d[5]]
    }

    #[inline(always)]
    fn output<V: Lanes>(m: [V; 6]) -> [V; 4] {
        let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        [m[0].add(sum), difference.sub(m[3]), m[4], m[5]]
    }
}

/// F(4×4, 3×3)
pub(super) struct Four;

impl Form for Four {
    const OUT: usize = 4;
    const IN: usize = 6;
    const WEIGHTS: &'static [[f64; 3]] = &[
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<V: Lanes>(d: [V; 6]) -> [V; 6] {
        let even = d[0].all(-4.0).mul_add(d[2], d[4]);
        let odd = d[0].all(-4.0).mul_add(d[1], d[3]);
        let outer = d[4].sub(d[2]);
        let inner = d[3].sub(d[1]);
        let inner = inner.add(inner);
        [
            d[0].all(4.0).mul_add(d[0], d[0].all(-5.0).mul_add(d[2], d[4])),
            odd.add(even),
            even.sub(odd),
            outer.add(inner),
            outer.sub(inner),
            d[0].all(4.0).mul_add(d[1], d[0].all(-5.0).mul_add(d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<V: Lanes>(m: [V; 6]) -> [V; 4] {
        let (near, far) = (m[1].add(m[2]), m[3].add(m[4]));
        let (near_odd, far_odd) = (m[1].sub(m[2]), m[3].sub(m[4]));
        [
            m[0].add(near.add(far)),
            near.all(2.0).mul_add(far_odd, near_odd),
            near.all(4.0).mul_add(far, near),
            m[5].add(near.all(8.0).mul_add(far_odd, near_odd)),
        ]
    }
}

/// G g Gᵀ of every 3 × 3 kernel in turn, in f64 and rounded once.
pub(super) fn transform_weights<F: Form>(kernels: &[f64]) -> Vec<f32> {
    let mut transformed = Vec::with_capacity(kernels.len() / 9 * F::IN * F::IN);
    for kernel in kernels.as_chunks::<9>().0 {
        for down in F::WEIGHTS {
            for across in F::WEIGHTS {
                let mut sum = 0.0;
                for (row, by_row) in down.iter().enumerate() {
                    for (column, by_column) in across.iter().enumerate() {
                        sum += by_row * kernel[row * 3 + column] * by_column;
                    }
                }
                transformed.push(rounded(sum));
            }
        }
    }
    transformed
}
