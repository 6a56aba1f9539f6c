//! Convolution as its definition has it, in f64: what every kernel is tested against.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{After, Layer, Shape, Weights};
use crate::kernels::aligned::Aligned;
use crate::kernels::curve::Curve;
use crate::kernels::map::Map;
use crate::kernels::pool::Kind;

/// A layer with random weights and a few random pictures, C × H × W each.
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) kernels: Vec<f64>,
    pub(crate) bias: Vec<f64>,
    pub(crate) pictures: Vec<Vec<f32>>,
    /// What comes out of each picture, before any activation: K × H × W.
    sums: Vec<Vec<f64>>,
}

impl Case {
    pub(crate) fn new(shape: Shape, pictures: usize, seed: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut draw =
            |count: usize| (0..count).map(|_| generator.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let area = shape.inputs * shape.height * shape.width;
        let mut case = Self {
            shape,
            kernels: wide(draw(shape.outputs * shape.inputs * shape.kernel * shape.kernel)),
            bias: wide(draw(shape.outputs)),
            pictures: (0..pictures).map(|_| draw(area)).collect(),
            sums: Vec::new(),
        };
        case.sums = case.pictures.iter().map(|pixels| case.convolve(pixels)).collect();
        case
    }

    pub(crate) fn layer(&self, after: After, (input, output): (Map, Map)) -> Layer<'_> {
        let weights = Weights { kernels: &self.kernels, bias: &self.bias };
        Layer { shape: self.shape, weights, after, input, output }
    }

    /// The pictures in the layout of a kernel.
    pub(crate) fn placed(&self, map: &Map) -> Aligned {
        let mut placed = Aligned::zeros(self.pictures.len() * map.len());
        for (pixels, map_of) in self.pictures.iter().zip(placed.chunks_exact_mut(map.len())) {
            map.place(pixels, map_of);
        }
        placed
    }

    /// The layout of what comes out, in a border of zeros.
    pub(crate) fn output(&self, pooled: bool) -> Map {
        let side = if pooled { 2 } else { 1 };
        Map::new(self.shape.out_height() / side, self.shape.out_width() / side, self.shape.outputs)
            .bordered(1, 0, 0)
    }

    /// The largest error of a kernel's output, as a share of the largest value. Panics where a border or a channel of
    /// padding is not 0.
    pub(crate) fn error(&self, after: After, map: &Map, output: &[f32]) -> f64 {
        let mut worst: f64 = 0.0;
        for (sums, found) in self.sums.iter().zip(output.chunks_exact(map.len())) {
            let values: Vec<f64> = sums.iter().map(|sum| apply(after.curve, *sum)).collect();
            let expected = pool(after.pool, &values, self.shape);
            let largest = expected.iter().fold(1e-3_f64, |largest, value| largest.max(value.abs()));
            let mut inside = vec![false; found.len()];
            for (index, expected) in expected.iter().enumerate() {
                let (channel, place) = (index / (map.height * map.width), index % (map.height * map.width));
                let at = map.at(place / map.width, place % map.width) + channel;
                inside[at] = true;
                worst = worst.max((f64::from(found[at]) - expected).abs() / largest);
            }
            let outside = found.iter().zip(inside).filter(|(_, inside)| !inside);
            assert!(
                outside.map(|(value, _)| *value).all(|value| value == 0.0),
                "{:?}: a border was written",
                self.shape
            );
        }
        worst
    }

    fn convolve(&self, pixels: &[f32]) -> Vec<f64> {
        let shape = &self.shape;
        let mut output = Vec::new();
        for k in 0..shape.outputs {
            for y in 0..shape.out_height() {
                for x in 0..shape.out_width() {
                    output.push(self.bias[k] + self.window(pixels, k, (y, x)));
                }
            }
        }
        output
    }

    fn window(&self, pixels: &[f32], k: usize, (y, x): (usize, usize)) -> f64 {
        let Shape { height, width, inputs, kernel, stride, padding, .. } = self.shape;
        let mut sum = 0.0;
        for c in 0..inputs {
            for i in 0..kernel {
                for j in 0..kernel {
                    let (row, column) = (y * stride + i, x * stride + j);
                    if (padding..padding + height).contains(&row)
                        && (padding..padding + width).contains(&column)
                    {
                        let at = (c * height + row - padding) * width + column - padding;
                        sum += f64::from(pixels[at])
                            * self.kernels[((k * inputs + c) * kernel + i) * kernel + j];
                    }
                }
            }
        }
        sum
    }
}

fn apply(curve: Curve, x: f64) -> f64 {
    match curve {
        Curve::Identity => x,
        Curve::Relu => x.max(0.0),
        Curve::Silu => x / (1.0 + (-x).exp()),
        Curve::Gelu => panic!("GELU is tested by itself"),
    }
}

fn pool(kind: Option<Kind>, values: &[f64], shape: Shape) -> Vec<f64> {
    let Some(kind) = kind else { return values.to_vec() };
    let (height, width) = (shape.out_height(), shape.out_width());
    let mut pooled = Vec::new();
    for plane in values.chunks_exact(height * width) {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let at = 2 * y * width + 2 * x;
                let window = [plane[at], plane[at + 1], plane[at + width], plane[at + width + 1]];
                pooled.push(match kind {
                    Kind::Max => window.into_iter().fold(f64::NEG_INFINITY, f64::max),
                    Kind::Average => window.iter().sum::<f64>() / 4.0,
                });
            }
        }
    }
    pooled
}
