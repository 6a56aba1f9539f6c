//! A network laid out for the kernels: which kernel for each layer, its packed weights, and the maps between them.

use crate::kernels::aligned::Aligned;
use crate::kernels::conv::{After, Layer, Maps, Shape, Weights as KernelWeights};
use crate::kernels::conv_direct::Direct;
use crate::kernels::cpu::Level;
use crate::kernels::crew::{Ahead, Team};
use crate::kernels::curve::Curve;
use crate::kernels::dot::Dot;
use crate::kernels::map::Map;
use crate::kernels::pool::{Kind, Pool};
use crate::kernels::winograd::Winograd;
use crate::limits::CONV_MAP_VALUES_MAX;
use crate::nn::conv::{Activation, Block, Config, Head, PoolKind};
use crate::nn::{Mismatch, Weights};

use super::choice::{Method, choose};
use super::fold::{Folded, block, tensor};

/// Bytes of maps that pass together: they stay in the second-level cache beside the weights.
const GROUP_BYTES: usize = 1 << 20;
/// Tiles that a Winograd layer likes to have at once.
const GROUP_TILES: usize = 24;
/// Pictures that pass together at most.
const GROUP_MAX: usize = 64;

/// Why a network cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum ConvPlanError {
    /// A tensor is not there or has the wrong shape.
    #[error(transparent)]
    Tensor(#[from] Mismatch),
    /// A tensor's values cannot be read.
    #[error("tensor {name} cannot be read as f32: {source}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        source: candle_core::Error,
    },
    /// A picture has too much between two layers.
    #[error(
        "stage {stage}: a picture needs {values} values there, at most {most} are allowed",
        most = CONV_MAP_VALUES_MAX
    )]
    Map {
        /// The convolution or pooling that reads them, from 1; one more than there are is the linear layer.
        stage: usize,
        /// Rows × columns × channels, with padding.
        values: usize,
    },
    /// A kernel or a pooling window is larger than the map it is for, or a size is 0.
    #[error("block {block}: a window of {window} with step {step} does not fit a map of {height} × {width}")]
    Window {
        /// The block, from 1.
        block: usize,
        /// Side of the window.
        window: usize,
        /// Step of the window.
        step: usize,
        /// Rows of the map, with padding.
        height: usize,
        /// Columns of the map, with padding.
        width: usize,
    },
}

/// A network laid out for the kernels of one machine. Nothing changes it: engines share it.
#[derive(Debug)]
pub struct ConvPlan {
    pixels: usize,
    stages: Vec<Stage>,
    /// What each stage reads, and last what the linear layer reads.
    maps: Vec<Map>,
    head: Dot,
    group: usize,
    /// Multiply-adds of one picture.
    products: usize,
}

/// What a plan works in: the maps between its stages, whose borders stay zero, and scratch memory.
#[derive(Debug)]
pub(super) struct Memory {
    maps: Vec<Aligned>,
    scratch: Aligned,
}

#[derive(Debug)]
enum Stage {
    Winograd(Winograd),
    Direct(Direct),
    Pool(Pool),
}

/// A stage before the layouts of its neighbours are known.
enum Draft {
    Convolution { shape: Shape, method: Method, folded: Folded, after: After },
    Pool { kind: Kind, window: (usize, usize), stride: usize, input: Map },
}

impl ConvPlan {
    /// Lays out a network for this machine.
    ///
    /// # Errors
    /// A tensor is missing or of the wrong shape, or a window does not fit its map.
    pub fn new(config: &Config, weights: &Weights) -> Result<Self, ConvPlanError> {
        Self::for_level(Level::detect(), config, weights)
    }

    /// Lays out a network for the instructions of `level`, or of the level below where the machine lacks it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_level(level: Level, config: &Config, weights: &Weights) -> Result<Self, ConvPlanError> {
        let mut drafts = Vec::new();
        let mut map = Map::new(config.height, config.width, config.channels);
        for (index, block) in config.blocks.iter().enumerate() {
            map = draft_block(&mut drafts, (index + 1, block), map, weights)?;
        }
        if config.head == Head::GlobalAverage {
            let window = (map.height, map.width);
            drafts.push(Draft::Pool { kind: Kind::Average, window, stride: 1, input: map });
            map = Map::new(1, 1, map.channels);
        }
        let mut maps: Vec<Map> = drafts.iter().map(Draft::input).chain([map]).collect();
        if let (Some(Draft::Convolution { method: Method::Direct, .. }), Some(pixels)) =
            (drafts.first(), maps.first_mut())
        {
            *pixels = pixels.packed();
        }
        if let Some((index, map)) = maps.iter().enumerate().find(|(_, map)| map.len() > CONV_MAP_VALUES_MAX) {
            return Err(ConvPlanError::Map { stage: index + 1, values: map.len() });
        }
        let products = drafts.iter().map(Draft::products).sum();
        let stages = drafts.into_iter().zip(maps.windows(2)).map(|(draft, maps)| draft.pack(level, maps));
        Ok(Self {
            pixels: config.channels * config.height * config.width,
            stages: stages.collect(),
            head: head(level, config.outputs, &map, weights)?,
            group: group(&maps),
            maps,
            products,
        })
    }

    /// Values of one picture: channels × height × width.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// Logits of one picture.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.head.outputs()
    }

    /// Pictures that pass together.
    pub(in crate::engine) fn group(&self) -> usize {
        self.group
    }

    /// What [`run`](Self::run) works in, for at most so many pictures.
    pub(super) fn memory(&self, pictures: usize) -> Memory {
        Memory {
            maps: self.maps.iter().map(|map| Aligned::zeros(pictures * map.len())).collect(),
            scratch: Aligned::zeros(self.scratch()),
        }
    }

    /// f32 of scratch memory that a thread needs.
    pub(crate) fn scratch(&self) -> usize {
        let scratch = |stage: &Stage| if let Stage::Winograd(layer) = stage { layer.scratch() } else { 0 };
        self.stages.iter().map(scratch).max().unwrap_or(0)
    }

    /// Puts a picture's pixels, channel by channel, where [`run`](Self::run) reads the picture of this number.
    pub(super) fn place(&self, memory: &mut Memory, picture: usize, pixels: &[f32]) {
        let map = &self.maps[0];
        map.place(pixels, &mut memory.maps[0][picture * map.len()..][..map.len()]);
    }

    /// Computes the logits of the first so many pictures.
    pub(super) fn run(&self, team: &mut Team, (pictures, memory): (usize, &mut Memory), logits: &mut [f32]) {
        let products = pictures * self.products;
        team.call(|| Ahead { each: products, all: products });
        for (index, stage) in self.stages.iter().enumerate() {
            let (before, after) = memory.maps.split_at_mut(index + 1);
            let (input, output) = (&before[index], &mut after[0]);
            match stage {
                Stage::Winograd(layer) => {
                    layer.run(team, Maps { pictures, input, output }, &mut memory.scratch);
                }
                Stage::Direct(layer) => layer.run(team, Maps { pictures, input, output }),
                Stage::Pool(layer) => layer.run(pictures, input, output),
            }
        }
        let last = self.maps.len() - 1;
        self.head.run(team, &memory.maps[last][..pictures * self.maps[last].len()], logits);
    }
}

/// Adds a block's stages; the map that comes out.
fn draft_block(
    drafts: &mut Vec<Draft>,
    (number, block): (usize, &Block),
    map: Map,
    weights: &Weights,
) -> Result<Map, ConvPlanError> {
    let (height, width) = (map.height + 2 * block.padding, map.width + 2 * block.padding);
    fits(number, (block.kernel, block.stride), (height, width))?;
    let shape = Shape {
        height: map.height,
        width: map.width,
        inputs: map.channels,
        outputs: block.channels,
        kernel: block.kernel,
        stride: block.stride,
        padding: block.padding,
    };
    let pool = match block.pool {
        Some(pool) => {
            let stride = pool.stride.unwrap_or(pool.size);
            fits(number, (pool.size, stride), (shape.out_height(), shape.out_width()))?;
            let kind = if pool.kind == PoolKind::Max { Kind::Max } else { Kind::Average };
            Some((kind, pool.size, stride))
        }
        None => None,
    };
    let method = choose(&shape);
    let fused = match (method, pool) {
        (Method::Winograd(_), Some((kind, 2, 2))) => Some(kind),
        _ => None,
    };
    let sides = [shape.outputs, shape.inputs, shape.kernel, shape.kernel];
    let folded = self::block(weights, number, sides, block.batch_norm)?;
    drafts.push(Draft::Convolution {
        shape,
        method,
        folded,
        after: After { curve: curve(block.activation), pool: fused },
    });
    let full = Map::new(shape.out_height(), shape.out_width(), shape.outputs);
    let Some((kind, size, stride)) = pool else { return Ok(full) };
    if fused.is_none() {
        drafts.push(Draft::Pool { kind, window: (size, size), stride, input: full });
    }
    Ok(Map::new((full.height - size) / stride + 1, (full.width - size) / stride + 1, full.channels))
}

/// Whether a window fits its map at least once.
fn fits(
    block: usize,
    (window, step): (usize, usize),
    (height, width): (usize, usize),
) -> Result<(), ConvPlanError> {
    if window == 0 || step == 0 || window > height.min(width) {
        return Err(ConvPlanError::Window { block, window, step, height, width });
    }
    Ok(())
}

fn curve(activation: Activation) -> Curve {
    match activation {
        Activation::Relu => Curve::Relu,
        Activation::Gelu => Curve::Gelu,
        Activation::Silu => Curve::Silu,
        Activation::None => Curve::Identity,
    }
}

impl Draft {
    /// The layout this stage reads.
    fn input(&self) -> Map {
        match self {
            Self::Convolution { shape, method: Method::Winograd(size), .. } => {
                Winograd::input(*size, shape, Map::new(shape.height, shape.width, shape.inputs))
            }
            Self::Convolution { shape, method: Method::Direct, .. } => {
                Direct::input(shape, Map::new(shape.height, shape.width, shape.inputs))
            }
            Self::Pool { input, .. } => *input,
        }
    }

    /// Multiply-adds of one picture.
    fn products(&self) -> usize {
        match self {
            Self::Convolution { shape, method: Method::Winograd(size), .. } => {
                size.tiles(shape) * size.points() * shape.inputs * shape.outputs
            }
            Self::Convolution { shape, method: Method::Direct, .. } => shape.products(),
            Self::Pool { .. } => 0,
        }
    }

    fn pack(self, level: Level, maps: &[Map]) -> Stage {
        let (input, output) = (maps[0], maps[1]);
        match self {
            Self::Convolution { shape, method, folded, after } => {
                let weights = KernelWeights { kernels: &folded.kernels, bias: &folded.bias };
                let layer = Layer { shape, weights, after, input, output };
                match method {
                    Method::Winograd(size) => Stage::Winograd(Winograd::new(level, size, &layer)),
                    Method::Direct => Stage::Direct(Direct::new(level, &layer)),
                }
            }
            Self::Pool { kind, window, stride, .. } => {
                Stage::Pool(Pool { level, kind, window, stride, input, output })
            }
        }
    }
}

/// The linear layer, its weights in the order of the map: `PyTorch` flattens channel by channel.
fn head(level: Level, outputs: usize, map: &Map, weights: &Weights) -> Result<Dot, ConvPlanError> {
    let area = map.height * map.width;
    let inputs = map.channels * area;
    let values = tensor(weights, "fc.weight", &[outputs, inputs])?;
    let bias = tensor(weights, "fc.bias", &[outputs])?;
    Ok(Dot::new(level, map.len(), &bias, |output, at| {
        let (position, channel) = (at / map.depth, at % map.depth);
        if channel < map.channels { values[output * inputs + channel * area + position] } else { 0.0 }
    }))
}

/// Pictures that pass together: as many as keep their maps in cache, and no fewer than fill the smallest convolution's tiles.
fn group(maps: &[Map]) -> usize {
    let bytes: usize = maps.iter().map(|map| map.len() * size_of::<f32>()).sum();
    let read = &maps[..maps.len() - 1];
    let smallest = read.iter().map(|map| (map.height * map.width).div_ceil(16)).min().unwrap_or(1);
    (GROUP_BYTES / bytes.max(1)).max(GROUP_TILES.div_ceil(smallest.max(1))).clamp(1, GROUP_MAX)
}
