//! 3 × 3 convolution with stride 1 by Winograd's minimal filtering: F(2×2, 3×3) and F(4×4, 3×3).
//!
//! A tile of the output (2 × 2 or 4 × 4) is Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, d the 4 × 4 or 6 × 6 inputs it sees, g the kernel
//! (Lavin and Gray, 2015). Summed over the input channels, ⊙ becomes 16 or 36 matrix products of tiles × inputs by
//! inputs × outputs: 16 products for 4 outputs instead of 36 (2.25 times fewer), 36 for 16 instead of 144 (4 times).
//!
//! Sketch, 64 → 128 channels on 14 × 14: direct 28.9 MFLOP; F(2×2) 49 tiles, 12.8 MFLOP, weights 0.5 MB; F(4×4)
//! 16 tiles, 9.4 MFLOP, weights 1.2 MB, which stay in L2. Tiles pass in groups of `GROUP`, of one picture or of
//! several: transformed inputs 24 · 36 · 64 · 4 = 221 KB, and for a panel of 64 outputs as much again of products.
//! Transforming a block of 16 channels of a tile, in or out, is 36 loads, some 150 operations and up to 36 stores, and was
//! measured at the time of 470 vector products: (4 + 8) · 470 beside the tile's 36 · 64 · 128 / 16 = 18,432.
//! Bias, activation and 2 × 2 pooling are applied in registers: with F(2×2) a tile is the window of the pooling.
//!
//! Error relative to the sum of magnitudes: F(2×2) 1e-6, F(4×4) 1e-5; tested against f64 (bounds 1e-5 and 1e-4).

#![expect(clippy::inline_always, reason = "an instruction must land in the function compiled for it")]
#![expect(clippy::needless_range_loop, reason = "a reference to one vector would keep all of them in memory")]

mod forms;
mod write;

use super::aligned::Aligned;
use super::checked::Checked;
use super::conv::{After, Layer, Maps, Shape};
use super::cpu::Level;
use super::crew::{Load, Parts, Team};
use super::curve::Curve;
use super::lanes::{self, Kernel, Lanes};
use super::map::Map;
use super::panels::{BLOCK, Panels, padded};
use super::scatter::Scatter;
use super::tile::{Product, cut, multiply};

use forms::{Form, Four, Two};
use write::{Place, Tile};

/// Tiles that pass together: a whole number of register tiles of 6 and of 8 rows.
const GROUP: usize = 24;
/// The same at most where threads share a picture.
const SHARED_GROUP: usize = 12;

/// The size of the output tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// F(2×2, 3×3)
    Two,
    /// F(4×4, 3×3)
    Four,
}

impl Size {
    /// Rows and columns of an output tile.
    #[must_use]
    pub fn outputs(self) -> usize {
        match self {
            Self::Two => Two::OUT,
            Self::Four => Four::OUT,
        }
    }

    /// Numbers of a transformed tile.
    #[must_use]
    pub fn points(self) -> usize {
        (self.outputs() + 2).pow(2)
    }

    /// Tiles of one picture's output.
    #[must_use]
    pub fn tiles(self, shape: &Shape) -> usize {
        shape.out_height().div_ceil(self.outputs()) * shape.out_width().div_ceil(self.outputs())
    }
}

/// A packed convolution.
#[derive(Clone, Debug)]
pub struct Winograd {
    level: Level,
    size: Size,
    /// Output positions before pooling, from top to bottom and left to right.
    height: usize,
    width: usize,
    input: Map,
    output: Map,
    panels: Panels,
    bias: Aligned,
    after: After,
    strides: Strides,
}

/// Where a group's tiles lie in the scratch memory.
#[derive(Clone, Debug)]
struct Strides {
    /// f32 from one transformed input tile to the next, with a line more, so that tiles do not share cache sets.
    values: usize,
    /// Where each tile of a group begins among the transformed inputs.
    rows: Vec<u32>,
    /// Where the runs of a tile's channels begin, and how long they are.
    runs: Vec<u32>,
    run: usize,
    /// Where each tile of a group begins among the products.
    outs: Vec<u32>,
}

/// Multiples of `stride`, from 0.
#[expect(
    clippy::cast_possible_truncation,
    reason = "24 tiles of 36 · 16,384 channels are 14 million numbers"
)]
fn offsets(count: usize, stride: usize) -> Vec<u32> {
    (0..count).map(|index| (index * stride) as u32).collect()
}

/// f32 from one tile of products to the next, for panels of at most so many blocks.
fn products_stride(size: Size, blocks: usize) -> usize {
    (size.points() * blocks + 1) * BLOCK
}

impl Winograd {
    /// The layout that this convolution reads.
    #[must_use]
    pub fn input(size: Size, shape: &Shape, map: Map) -> Map {
        let span = |length: usize| length.next_multiple_of(size.outputs()) + 2;
        map.bordered(shape.padding, span(shape.out_height()), span(shape.out_width()))
    }

    /// Transforms and packs a layer whose input has the layout that [`input`](Self::input) says.
    ///
    /// # Panics
    /// The kernel is not 3 × 3 or steps further than 1, or the input is not in blocks of 16 channels.
    #[must_use]
    pub fn new(level: Level, size: Size, layer: &Layer<'_>) -> Self {
        let Layer { shape, weights, after, input, output } = *layer;
        assert!(shape.kernel == 3 && shape.stride == 1, "Winograd is for 3 × 3 kernels with stride 1");
        assert!(input.depth.is_multiple_of(BLOCK), "channels in blocks of 16");
        let level = level.or_below();
        let points = size.points();
        let transformed = match size {
            Size::Two => forms::transform_weights::<Two>(weights.kernels),
            Size::Four => forms::transform_weights::<Four>(weights.kernels),
        };
        let panels = Panels::pack(level, (points, shape.inputs, shape.outputs), |point, step, output| {
            transformed[(output * shape.inputs + step) * points + point]
        });
        let values = points * input.depth + BLOCK;
        let (parts, run) = cut(shape.inputs);
        let strides = Strides {
            values,
            rows: offsets(GROUP, values),
            runs: offsets(parts, run),
            run,
            outs: offsets(GROUP, products_stride(size, panels.blocks_max())),
        };
        Self {
            level,
            size,
            height: shape.out_height(),
            width: shape.out_width(),
            input,
            output,
            panels,
            bias: padded(weights.bias),
            after,
            strides,
        }
    }

    /// f32 of scratch memory that [`run`](Self::run) needs, whatever the batch.
    #[must_use]
    pub fn scratch(&self) -> usize {
        GROUP * (self.strides.values + products_stride(self.size, self.panels.blocks_max()))
    }

    /// Convolves the maps of a batch. The tiles of all its pictures are one sequence; each is computed by itself,
    /// by whichever thread of the team.
    pub fn run(&self, team: &mut Team, maps: Maps<'_>, scratch: &mut [f32]) {
        let Maps { pictures, input, output } = maps;
        let (tiles, panels) = (pictures * self.tiles().1, self.panels.count());
        let load = |group: usize| Load {
            parts: tiles.div_ceil(group) * panels,
            products: tiles * self.panels.len(),
        };
        // Groups of a lone picture are smaller where threads share them, down to a register tile or two.
        let shared = team.people(load(SHARED_GROUP)) > 1;
        let group = if shared { tiles.div_ceil(tiles.div_ceil(SHARED_GROUP)) } else { GROUP };
        let output = Scatter::new(output);
        team.share(load(group), scratch, |parts, scratch| {
            let (values, products) = scratch.split_at_mut(GROUP * self.strides.values);
            lanes::run(
                self.level,
                Task { layer: self, tiles, group, parts, input, output, values, products },
            );
        });
    }

    /// Columns and number of tiles of one picture.
    fn tiles(&self) -> (usize, usize) {
        let side = self.size.outputs();
        let columns = self.width.div_ceil(side);
        (columns, self.height.div_ceil(side) * columns)
    }
}

struct Task<'a> {
    layer: &'a Winograd,
    tiles: usize,
    /// Tiles that pass together.
    group: usize,
    /// Groups of tiles, and panel by panel of each.
    parts: Parts<'a>,
    input: &'a [f32],
    output: Scatter<'a>,
    values: &'a mut [f32],
    products: &'a mut [f32],
}

impl Kernel for Task<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        // SAFETY: the caller promises the instructions.
        let machine = unsafe { Checked::<V>::assume() };
        match self.layer.size {
            Size::Two => self.convolve::<V, Two>(machine),
            Size::Four => self.convolve::<V, Four>(machine),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn convolve<V: Lanes, F: Form>(&mut self, machine: Checked<V>) {
        let panels = self.layer.panels.count();
        let mut transformed = None;
        while let Some(part) = self.parts.next() {
            let first = part / panels * self.group;
            let count = self.group.min(self.tiles - first);
            if transformed != Some(first) {
                for slot in 0..count {
                    self.transform_input::<V, F>(machine, self.layer.place(first + slot), slot);
                }
                transformed = Some(first);
            }
            let panel = self.layer.panels.cut(part % panels);
            self.multiply_points::<F>(count, panel);
            for slot in 0..count {
                self.transform_output::<V, F>(machine, (self.layer.place(first + slot), slot), panel);
            }
        }
    }

    /// Bᵀ d B of a tile, for all its channels, into the group's place `slot`.
    #[inline(always)]
    fn transform_input<V: Lanes, F: Form>(&mut self, machine: Checked<V>, place: Place, slot: usize) {
        let map = &self.layer.input;
        let corner = place.picture * map.len() + map.corner(place.row * F::OUT, place.column * F::OUT);
        let window = &self.input[corner..][..map.corner(F::IN - 1, F::IN)];
        let values = &mut self.values[slot * self.layer.strides.values..][..F::IN * F::IN * map.depth];
        for channel in (0..map.depth).step_by(V::WIDTH) {
            let mut half = [[machine.splat(0.0); 6]; 6];
            for x in 0..F::IN {
                let mut d = [machine.splat(0.0); 6];
                for y in 0..F::IN {
                    d[y] = machine.load(window, map.corner(y, x) + channel);
                }
                let d = F::input(d);
                for y in 0..F::IN {
                    half[y][x] = d[y];
                }
            }
            for y in 0..F::IN {
                let d = F::input(half[y]);
                for x in 0..F::IN {
                    machine.store(d[x], values, (y * F::IN + x) * map.depth + channel);
                }
            }
        }
    }

    /// For every point: tiles × inputs by inputs × the outputs of a panel.
    fn multiply_points<F: Form>(&mut self, count: usize, panel: (usize, usize)) {
        let layer = self.layer;
        let strides = &layer.strides;
        for point in 0..F::IN * F::IN {
            let product = Product {
                input: &self.values[point * layer.input.depth..],
                rows: &strides.rows[..count],
                runs: &strides.runs,
                run: strides.run,
                panel: layer.panels.panel(point, panel),
                bias: None,
                floor: f32::NEG_INFINITY,
                outs: &strides.outs[..count],
            };
            let products = Scatter::new(&mut self.products[point * panel.1 * BLOCK..]);
            // SAFETY: the products are this thread's.
            unsafe { multiply(layer.level, &product, products) };
        }
    }

    /// Aᵀ m A of a tile, for the outputs of a panel; bias, activation and pooling; into the output's map.
    #[inline(always)]
    fn transform_output<V: Lanes, F: Form>(
        &mut self,
        machine: Checked<V>,
        (place, slot): (Place, usize),
        (first, blocks): (usize, usize),
    ) {
        let layer = self.layer;
        let width = blocks * BLOCK;
        let products = &self.products[layer.strides.outs[slot] as usize..][..F::IN * F::IN * width];
        let floor = machine.splat(layer.after.curve.floor());
        for output in (0..width).step_by(V::WIDTH) {
            let mut half = [[machine.splat(0.0); 6]; 4];
            for x in 0..F::IN {
                let mut m = [machine.splat(0.0); 6];
                for y in 0..F::IN {
                    m[y] = machine.load(products, (y * F::IN + x) * width + output);
                }
                let m = F::output(m);
                for y in 0..F::OUT {
                    half[y][x] = m[y];
                }
            }
            let channel = first * BLOCK + output;
            let bias = machine.load(&layer.bias, channel);
            let mut sums = [[machine.splat(0.0); 4]; 4];
            for y in 0..F::OUT {
                let line = F::output(half[y]);
                for x in 0..F::OUT {
                    sums[y][x] = floor.max(line[x].add(bias));
                }
            }
            if layer.after.curve.is_smooth() {
                sums = smooth::<V, F>(layer.after.curve, sums);
            }
            let tile = Tile { sums, place, channel };
            match layer.after.pool {
                None => tile.write::<F>(&layer.output, self.output),
                Some(kind) => tile.write_pooled::<F>(machine, (&layer.output, kind), self.output),
            }
        }
    }
}

/// A smooth activation of a tile. On a copy, so that the sums of other activations stay in registers.
#[inline(always)]
fn smooth<V: Lanes, F: Form>(curve: Curve, mut sums: [[V; 4]; 4]) -> [[V; 4]; 4] {
    for line in sums.iter_mut().take(F::OUT) {
        for sum in line.iter_mut().take(F::OUT) {
            *sum = curve.smooth(*sum);
        }
    }
    sums
}

impl Winograd {
    #[inline(always)]
    fn place(&self, tile: usize) -> Place {
        let (columns, tiles) = self.tiles();
        Place { picture: tile / tiles, row: tile % tiles / columns, column: tile % columns }
    }
}

#[cfg(test)]
mod tests;
