//! Both sizes of tile against convolution in f64, on every instruction set of this machine.

use super::*;
use crate::kernels::conv::oracle::Case;
use crate::kernels::pool::Kind;

fn layer(level: Level, size: Size, case: &Case, after: After) -> (Winograd, Map, Map) {
    let shape = &case.shape;
    let input = Winograd::input(size, shape, Map::new(shape.height, shape.width, shape.inputs));
    let output = case.output(after.pool.is_some());
    (Winograd::new(level, size, &case.layer(after, (input, output))), input, output)
}

fn convolve(level: Level, size: Size, case: &Case, after: After) -> f64 {
    let (layer, input, map) = layer(level, size, case, after);
    let mut output = Aligned::zeros(case.pictures.len() * map.len());
    let mut scratch = Aligned::zeros(layer.scratch());
    let maps = Maps { pictures: case.pictures.len(), input: &case.placed(&input), output: &mut output };
    layer.run(&mut Team::default(), maps, &mut scratch);
    case.error(after, &map, &output)
}

#[test]
fn every_size_and_number_of_channels_is_within_its_bound_of_f64() {
    // height, width, inputs, outputs, padding
    let shapes = [
        (2, 2, 16, 16, 1),
        (5, 7, 3, 17, 1),
        (14, 14, 64, 64, 1),
        (13, 4, 20, 40, 1),
        (8, 9, 33, 70, 0),
        (6, 6, 1, 1, 2),
        (9, 11, 100, 130, 1),
        (4, 4, 200, 33, 1),
    ];
    let afters = [
        (Curve::Relu, Some(Kind::Max)),
        (Curve::Silu, Some(Kind::Average)),
        (Curve::Identity, None),
        (Curve::Silu, None),
    ];
    for level in Level::available() {
        for (seed, (height, width, inputs, outputs, padding)) in shapes.into_iter().enumerate() {
            let shape = Shape { height, width, inputs, outputs, kernel: 3, stride: 1, padding };
            let case = Case::new(shape, 3, seed as u64);
            for (curve, pool) in afters {
                for (size, bound) in [(Size::Two, 1e-5), (Size::Four, 1e-4)] {
                    let error = convolve(level, size, &case, After { curve, pool });
                    assert!(error <= bound, "{level:?} {size:?} {shape:?} {curve:?} {pool:?}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn a_picture_is_the_same_bits_at_any_place_in_a_batch() {
    let shape = Shape { height: 10, width: 6, inputs: 20, outputs: 70, kernel: 3, stride: 1, padding: 1 };
    let after = After { curve: Curve::Relu, pool: None };
    for level in Level::available() {
        for size in [Size::Two, Size::Four] {
            let case = Case::new(shape, 9, 7);
            let (layer, input, map) = layer(level, size, &case, after);
            let placed = case.placed(&input);
            let mut scratch = Aligned::zeros(layer.scratch());
            let mut together = Aligned::zeros(9 * map.len());
            let maps = Maps { pictures: 9, input: &placed, output: &mut together };
            layer.run(&mut Team::default(), maps, &mut scratch);
            for (picture, together) in together.chunks_exact(map.len()).enumerate() {
                let mut alone = Aligned::zeros(map.len());
                let maps = Maps { pictures: 1, input: &placed[picture * input.len()..], output: &mut alone };
                layer.run(&mut Team::default(), maps, &mut scratch);
                assert!(*alone == *together, "{level:?} {size:?}: picture {picture}");
            }
        }
    }
}
