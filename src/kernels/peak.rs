//! What one core can multiply and add at all: the measure that every kernel is a share of.
//!
//! Sketch: 12 independent chains of fused multiply-adds in registers, more than two ports × four cycles of latency
//! need, and nothing else: no loads, no stores.
#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::cpu::Level;
use super::lanes::{self, Kernel, Lanes};

const CHAINS: usize = 12;
const ROUNDS: usize = 100_000;
const REPETITIONS: usize = 50;

/// f32 multiply-adds a second of this thread, the best of some 50 ms.
#[must_use]
pub fn multiply_adds_a_second(level: Level) -> f64 {
    let mut fastest = Duration::MAX;
    for _ in 0..REPETITIONS {
        let start = Instant::now();
        lanes::run(level, Chains);
        fastest = fastest.min(start.elapsed());
    }
    let lanes = if level == Level::Scalar { 1 } else { level.lanes() };
    (lanes * CHAINS * ROUNDS) as f64 / fastest.as_secs_f64()
}

struct Chains;

impl Kernel for Chains {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller promises the instructions.
        let factor = unsafe { V::splat(black_box(0.999)) };
        let mut sums = [factor; CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        for sum in sums {
            let mut out = [0.0; 16];
            // SAFETY: no vector is longer than 16 values.
            unsafe { sum.store(out.as_mut_ptr()) }
            black_box(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_vectors_do_not_multiply_more_slowly_than_none() {
        let rates: Vec<f64> = Level::available().map(multiply_adds_a_second).collect();
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{rates:?}");
    }
}
