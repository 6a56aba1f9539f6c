//! A convolutional classifier in tensors: a chain of convolutions, their batch norms, one linear layer; and what is
//! between them, which tensors do not tell, from settings or from the linear layer's inputs.

use super::super::{ImportError, RawTensor};
use super::Renamed;
use super::names::{Tensors, constant, module, natural, number};
use super::settings::Settings;
use crate::nn::conv::{Activation, Block, Config, Head, Pool, PoolKind};

pub(super) fn infer(
    tensors: &mut Tensors,
    settings: &Settings<'_>,
) -> Result<(Config, Renamed), ImportError> {
    let convolutions = tensors.names(|_, shape| shape.len() == 4);
    let modules: Vec<String> = convolutions.iter().map(|name| module(name).to_owned()).collect();
    let norms = norms_of(tensors, &modules)?;
    let mut renamed = Renamed::new();
    let mut blocks = Vec::new();
    let mut channels = None;
    let mut last = None;
    for (n, (module, norm)) in (1..).zip(modules.iter().zip(&norms)) {
        let weight = tensors.need(&format!("{module}.weight"))?;
        let (outputs, inputs, kernel) = kernel_sizes(module, &weight)?;
        if last.is_some_and(|last| last != inputs) {
            return Err(ImportError(format!(
                "{module}.weight takes {inputs} channels, but the convolution before it gives {}; expected one chain \
                 in the order of the names, without groups or branches",
                last.unwrap_or(0)
            )));
        }
        channels.get_or_insert(inputs);
        last = Some(outputs);
        let bias = tensors.take(&format!("{module}.bias")).unwrap_or_else(|| constant(&[outputs], 0.0));
        renamed.insert(format!("conv{n}.weight"), weight);
        renamed.insert(format!("conv{n}.bias"), bias);
        if let Some(norm) = norm {
            for (part, default) in
                [("weight", Some(1.0)), ("bias", Some(0.0)), ("running_mean", None), ("running_var", None)]
            {
                let name = format!("{norm}.{part}");
                let found = tensors.take(&name).or_else(|| default.map(|value| constant(&[outputs], value)));
                let missing = || ImportError(format!("tensor {name} is missing"));
                renamed.insert(format!("bn{n}.{part}"), found.ok_or_else(missing)?);
            }
        }
        blocks.push(block(settings, n, (outputs, kernel), norm.is_some())?);
    }
    if settings.block_max() > blocks.len() {
        let (named, found) = (settings.block_max(), blocks.len());
        return Err(ImportError(format!(
            "a setting is for block {named}, but there are {found} blocks (from 1)"
        )));
    }
    let (features, outputs) = take_head(tensors, &mut renamed)?;
    let sizes = Sizes { channels: channels.unwrap_or(0), blocks, features, outputs };
    Ok((sizes.solve(settings)?, renamed))
}

/// What the tensors tell.
struct Sizes {
    channels: usize,
    blocks: Vec<Block>,
    features: usize,
    outputs: usize,
}

fn kernel_sizes(module: &str, weight: &RawTensor) -> Result<(usize, usize, usize), ImportError> {
    match *weight.shape.as_slice() {
        [outputs, inputs, height, width] if height == width => Ok((outputs, inputs, height)),
        _ => Err(ImportError(format!(
            "{module}.weight has shape {:?}, expected [outputs, inputs, kernel, kernel] with a square kernel",
            weight.shape
        ))),
    }
}

fn block(
    settings: &Settings<'_>,
    n: usize,
    (channels, kernel): (usize, usize),
    batch_norm: bool,
) -> Result<Block, ImportError> {
    Ok(Block {
        channels,
        kernel,
        stride: settings.stride(n)?.unwrap_or(1),
        padding: settings.padding(n)?.unwrap_or(kernel / 2),
        batch_norm,
        activation: settings.activation(n)?.unwrap_or(Activation::Relu),
        pool: settings.pool(n)?,
    })
}

/// For each convolution the module of its batch norm: one numbered alike (`conv2`, `bn2`), else the one that comes
/// next in the order of names (`features.0`, `features.1`), else, where there are as many, the one of the same place.
fn norms_of(tensors: &Tensors, convolutions: &[String]) -> Result<Vec<Option<String>>, ImportError> {
    let running = tensors.names(|name, shape| name.ends_with(".running_mean") && shape.len() == 1);
    let norms: Vec<&str> = running.iter().map(|name| module(name)).collect();
    let channels =
        |convolution: &str| tensors.shape(&format!("{convolution}.weight")).and_then(|s| s.first().copied());
    let width = |norm: &str| tensors.shape(&format!("{norm}.running_mean")).and_then(|s| s.first().copied());
    let stem = |module: &str| module.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let mut found: Vec<Option<String>> = vec![None; convolutions.len()];
    for (place, norm) in norms.iter().enumerate() {
        let fits = |convolution: &str| channels(convolution) == width(norm);
        let alike = |c: &String| stem(c) != stem(norm) && number(c).is_some() && number(c) == number(norm);
        let before = |c: &String| stem(c) == stem(norm) && natural(c, norm).is_lt();
        let index = convolutions
            .iter()
            .position(alike)
            .or_else(|| convolutions.iter().rposition(before))
            .or_else(|| (norms.len() == convolutions.len()).then_some(place));
        let free = index.and_then(|index| Some((found.get_mut(index)?, convolutions.get(index)?)));
        match free {
            Some((free @ None, convolution)) if fits(convolution) => *free = Some((*norm).to_owned()),
            _ => {
                return Err(ImportError(format!(
                    "batch norm {norm} belongs to no convolution of its width by its name; found {convolutions:?}; name \
                     them alike (conv2, bn2) or one after the other (features.3, features.4)"
                )));
            }
        }
    }
    Ok(found)
}

/// Takes the linear layer; its inputs and outputs.
fn take_head(tensors: &mut Tensors, renamed: &mut Renamed) -> Result<(usize, usize), ImportError> {
    let matrices = tensors.names(|name, shape| shape.len() == 2 && name.ends_with("weight"));
    let [head] = matrices.as_slice() else {
        return Err(ImportError(format!(
            "expected one linear layer after the convolutions, found {} ({}); left are {}",
            matrices.len(),
            matrices.join(", "),
            tensors.list()
        )));
    };
    let weight = tensors.need(head)?;
    let &[outputs, features] = weight.shape.as_slice() else {
        return Err(ImportError(format!("{head} is no matrix")));
    };
    let bias = tensors.take(&format!("{}.bias", module(head))).unwrap_or_else(|| constant(&[outputs], 0.0));
    renamed.insert("fc.weight".into(), weight);
    renamed.insert("fc.bias".into(), bias);
    Ok((features, outputs))
}

impl Sizes {
    /// The network, with its picture size, head and pooling.
    fn solve(self, settings: &Settings<'_>) -> Result<Config, ImportError> {
        let dropout = settings.dropout()?;
        let told = ["height", "width", "head", "pool", "stride", "padding", "activation", "blocks"];
        let told = told.iter().any(|key| settings.has_any(key));
        if settings.article()? || (!told && self.is_article()) {
            if told || !self.is_article() {
                return Err(ImportError(format!(
                    "preset article is conv 3→64→128 (3 × 3) and a linear layer of 6272 inputs, alone; found {}",
                    self.describe()
                )));
            }
            return Ok(Config { dropout, ..Config::article(self.outputs) });
        }
        let Some(height) = settings.side("height")? else { return Err(self.ask_for_a_size(settings)) };
        let width = settings.side("width")?.unwrap_or(height);
        let last = self.blocks.last().map_or(0, |block| block.channels);
        let head = match settings.head()? {
            Some(head) => head,
            None if self.features == last => Head::GlobalAverage,
            None => Head::Flatten,
        };
        let pools_told = settings.has("pool")
            || (1..=self.blocks.len()).any(|n| settings.has(&format!("blocks.{n}.pool")));
        if head == Head::GlobalAverage && !pools_told {
            return Err(ImportError(format!(
                "with a global average nothing tells where the network pools: give pool=none, pool=max2 or \
                 blocks.N.pool=max2 for each block that pools; found {}",
                self.describe()
            )));
        }
        let config = |blocks: Vec<Block>| Config {
            channels: self.channels,
            height,
            width,
            blocks,
            head,
            dropout,
            outputs: self.outputs,
        };
        let guesses = if pools_told { vec![self.blocks.clone()] } else { self.guesses() };
        let fits = |config: &Config| matches!(inputs_of_head(config), Ok(inputs) if inputs == self.features);
        let tried: Vec<Config> = guesses.into_iter().map(config).collect();
        if let Some(config) = tried.iter().find(|config| fits(config)) {
            return Ok(config.clone());
        }
        let found = tried.iter().map(|config| match inputs_of_head(config) {
            Ok(inputs) => format!("{} pooling blocks would give {inputs}", pooling(&config.blocks)),
            Err(problem) => problem,
        });
        Err(ImportError(format!(
            "the linear layer has {} inputs, which pictures of {height} × {width} do not give: {}; set height, width, \
             pool, stride, padding or head as the network has them (found {})",
            self.features,
            found.collect::<Vec<_>>().join(", "),
            self.describe()
        )))
    }

    fn is_article(&self) -> bool {
        let article = Config::article(self.outputs);
        let alike = |(a, b): (&Block, &Block)| {
            (a.channels, a.kernel, a.batch_norm) == (b.channels, b.kernel, b.batch_norm)
        };
        (self.channels, self.features) == (article.channels, 128 * 7 * 7)
            && self.blocks.len() == article.blocks.len()
            && self.blocks.iter().zip(&article.blocks).all(alike)
    }

    /// The common ways to pool: after every block, after the last, never.
    fn guesses(&self) -> Vec<Vec<Block>> {
        let halving = Some(Pool { kind: PoolKind::Max, size: 2, stride: None });
        let last = self.blocks.len().saturating_sub(1);
        let from = |first: usize| {
            let blocks = self.blocks.iter().enumerate();
            blocks.map(|(n, block)| Block { pool: halving.filter(|_| n >= first), ..block.clone() }).collect()
        };
        vec![from(0), from(last), from(self.blocks.len())]
    }

    /// Tensors tell no picture size; where it is square, and pooling is one of the common ways, some fit.
    fn ask_for_a_size(&self, settings: &Settings<'_>) -> ImportError {
        let mut fitting = Vec::new();
        if !settings.has_any("head") {
            for blocks in self.guesses() {
                let pooled = pooling(&blocks);
                let config = |side| Config {
                    channels: self.channels,
                    height: side,
                    width: side,
                    blocks: blocks.clone(),
                    head: Head::Flatten,
                    dropout: 0.0,
                    outputs: self.outputs,
                };
                let fits =
                    |side: &usize| inputs_of_head(&config(*side)).is_ok_and(|inputs| inputs == self.features);
                let sides: Vec<String> =
                    (1..=256).filter(fits).map(|side: usize| side.to_string()).take(8).collect();
                if !sides.is_empty() {
                    fitting.push(format!("{} with pooling after {pooled} blocks", sides.join(", ")));
                }
            }
        }
        let fitting = if fitting.is_empty() {
            String::new()
        } else {
            format!(" (sides that fit: {})", fitting.join("; "))
        };
        ImportError(format!(
            "the tensors do not tell the picture size: give height=… and, if it is not square, width=…{fitting}; found {}",
            self.describe()
        ))
    }

    fn describe(&self) -> String {
        let blocks =
            self.blocks.iter().map(|block| format!("{} ({k} × {k})", block.channels, k = block.kernel));
        let chain = blocks.collect::<Vec<_>>().join(" → ");
        format!("{} channels → {chain} → {} inputs → {} outputs", self.channels, self.features, self.outputs)
    }
}

/// Blocks that pool.
fn pooling(blocks: &[Block]) -> usize {
    blocks.iter().filter(|block| block.pool.is_some()).count()
}

/// Inputs that the linear layer must have.
fn inputs_of_head(config: &Config) -> Result<usize, String> {
    let (channels, height, width) = config.last_extent().map_err(|error| error.to_string())?;
    Ok(match config.head {
        Head::Flatten => channels * height * width,
        Head::GlobalAverage => channels,
    })
}
