//! Which kernel convolves fastest: a model of their costs, fitted to measurements, so that every start chooses alike.

use crate::kernels::conv::Shape;
use crate::kernels::winograd::Size;

/// How a layer is convolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The window read in place.
    Direct,
    /// Through transformed tiles.
    Winograd(Size),
}

/// Pictures that share one reading of the weights, as a server has them between idle and busy.
const COMPANY: f64 = 4.0;
/// Bytes of weights that arrive in the time of a vector product (half a cycle): from the second-level cache, and from
/// beyond where they are more than [`CACHE_BYTES`].
const CACHED_BYTES_PER_PRODUCT: f64 = 10.0;
const DISTANT_BYTES_PER_PRODUCT: f64 = 2.5;
const CACHE_BYTES: f64 = 1.5e6;
/// What a product of one point of one tile with one panel costs beside its vector products.
const CALL: f64 = 30.0;
/// What transforming one block of 16 channels of a tile costs, in or out.
const TRANSFORM_TWO: f64 = 100.0;
const TRANSFORM_FOUR: f64 = 470.0;

/// The cheapest method for a layer. Winograd is for 3 × 3 kernels with stride 1 and whole blocks of inputs.
pub(super) fn choose(shape: &Shape) -> Method {
    if shape.kernel != 3 || shape.stride != 1 || shape.inputs < 16 {
        return Method::Direct;
    }
    let methods = [Method::Direct, Method::Winograd(Size::Two), Method::Winograd(Size::Four)];
    let cheapest = methods.into_iter().min_by(|a, b| cost(*a, shape).total_cmp(&cost(*b, shape)));
    cheapest.unwrap_or(Method::Direct)
}

/// The time of one picture, in vector products of 16 numbers (0.18 ns where it was fitted). On 26 shapes from 1 × 1 × 512
/// to 56 × 56 × 64, measured on a busy machine, it chose the fastest in 17 and lost 4 to 70 % in most others.
fn cost(method: Method, shape: &Shape) -> f64 {
    let inputs = shape.inputs as f64;
    let (blocks_in, blocks_out) = (shape.inputs.div_ceil(16) as f64, shape.outputs.div_ceil(16) as f64);
    let (rows, points, transform) = match method {
        Method::Direct => ((shape.out_height() * shape.out_width()) as f64, 9.0, 0.0),
        Method::Winograd(Size::Two) => (Size::Two.tiles(shape) as f64, 16.0, TRANSFORM_TWO),
        Method::Winograd(Size::Four) => (Size::Four.tiles(shape) as f64, 36.0, TRANSFORM_FOUR),
    };
    let products = rows * points * inputs * blocks_out;
    let calls = if method == Method::Direct { 0.0 } else { rows * points * (blocks_out / 4.0).ceil() * CALL };
    let transforms = rows * transform * (blocks_in + blocks_out);
    let weights = points * inputs * blocks_out * 64.0;
    let rate = if weights <= CACHE_BYTES { CACHED_BYTES_PER_PRODUCT } else { DISTANT_BYTES_PER_PRODUCT };
    products + calls + transforms + weights / COMPANY / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(side: usize, (inputs, outputs): (usize, usize), (kernel, stride): (usize, usize)) -> Shape {
        Shape { height: side, width: side, inputs, outputs, kernel, stride, padding: kernel / 2 }
    }

    #[test]
    fn large_maps_take_large_tiles_and_other_kernels_are_direct() {
        let four = Method::Winograd(Size::Four);
        assert_eq!(choose(&shape(14, (64, 128), (3, 1))), four);
        assert_eq!(choose(&shape(32, (64, 128), (3, 1))), four);
        assert_eq!(choose(&shape(2, (64, 64), (3, 1))), Method::Winograd(Size::Two));
        assert_eq!(choose(&shape(1, (512, 512), (3, 1))), Method::Direct);
        for (inputs, kernel, stride) in [(3, 3, 1), (64, 1, 1), (64, 5, 1), (64, 3, 2)] {
            assert_eq!(choose(&shape(32, (inputs, 64), (kernel, stride))), Method::Direct);
        }
    }
}
