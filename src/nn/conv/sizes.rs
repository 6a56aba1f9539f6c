//! What sizes a convolutional classifier has between its blocks, and which sizes fit each other.

use super::{Block, Config, Head, Pool};
use crate::limits;
use crate::nn::BadArchitecture;
use crate::nn::initialise::{Parameter, Start};

/// Channels, height and width between two blocks.
pub(super) type Extent = (usize, usize, usize);

impl Pool {
    /// Step of the window.
    pub(super) fn step(self) -> usize {
        self.stride.unwrap_or(self.size)
    }
}

/// Positions of a window of `size` that moves by `step` over `length`; `None` where it does not fit.
pub(super) fn positions(length: usize, size: usize, step: usize) -> Option<usize> {
    Some(length.checked_sub(size)?.checked_div(step)? + 1)
}

impl Block {
    fn after(&self, (_, height, width): Extent, field: &str) -> Result<Extent, BadArchitecture> {
        let most = limits::CONV_KERNEL_MAX;
        BadArchitecture::within(&format!("{field}.channels"), self.channels, 1, limits::WIDTH_MAX)?;
        BadArchitecture::within(&format!("{field}.kernel"), self.kernel, 1, most)?;
        BadArchitecture::within(&format!("{field}.stride"), self.stride, 1, most)?;
        BadArchitecture::within(&format!("{field}.padding"), self.padding, 0, most)?;
        let convolved = |side: usize| {
            positions(side + 2 * self.padding, self.kernel, self.stride).ok_or_else(|| {
                let problem = format!(
                    "is {}, larger than its padded input of {height} × {width} (padding {})",
                    self.kernel, self.padding
                );
                BadArchitecture::new(format!("{field}.kernel"), problem)
            })
        };
        let (height, width) = (convolved(height)?, convolved(width)?);
        let values = self.channels.saturating_mul(height).saturating_mul(width);
        BadArchitecture::within(
            &format!("{field} (values it puts out)"),
            values,
            1,
            limits::ACTIVATION_VALUES_MAX,
        )?;
        let Some(pool) = self.pool else { return Ok((self.channels, height, width)) };
        BadArchitecture::within(&format!("{field}.pool.size"), pool.size, 1, most)?;
        BadArchitecture::within(&format!("{field}.pool.stride"), pool.step(), 1, most)?;
        let pooled = |side: usize| {
            positions(side, pool.size, pool.step()).ok_or_else(|| {
                let problem = format!("is {}, larger than the {height} × {width} it pools", pool.size);
                BadArchitecture::new(format!("{field}.pool.size"), problem)
            })
        };
        Ok((self.channels, pooled(height)?, pooled(width)?))
    }
}

impl Config {
    pub(in crate::nn) fn validate(&self) -> Result<(), BadArchitecture> {
        let side = limits::NETWORK_SIDE_MAX as usize;
        if self.channels != 1 && self.channels != 3 {
            let problem = format!("is {}, expected 3 (RGB) or 1 (grey)", self.channels);
            return Err(BadArchitecture::new("channels", problem));
        }
        BadArchitecture::within("height", self.height, 1, side)?;
        BadArchitecture::within("width", self.width, 1, side)?;
        BadArchitecture::within("blocks (their number)", self.blocks.len(), 1, limits::CONV_BLOCKS_MAX)?;
        BadArchitecture::within("outputs", self.outputs, 1, limits::LABELS_MAX)?;
        BadArchitecture::dropout(self.dropout)?;
        self.last_extent().map(|_| ())
    }

    /// Channels, height and width after the last block.
    ///
    /// # Errors
    /// The first size that does not fit, or is beyond its limit.
    pub(crate) fn last_extent(&self) -> Result<(usize, usize, usize), BadArchitecture> {
        let blocks = self.blocks.iter().enumerate();
        blocks.into_iter().try_fold((self.channels, self.height, self.width), |extent, (index, block)| {
            block.after(extent, &format!("blocks[{index}]"))
        })
    }

    /// Inputs of the linear layer; 0 when the sizes do not fit.
    fn features(&self) -> usize {
        let (channels, height, width) = self.last_extent().unwrap_or((0, 0, 0));
        match self.head {
            Head::Flatten => channels * height * width,
            Head::GlobalAverage => channels,
        }
    }

    pub(in crate::nn) fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        let mut inputs = self.channels;
        for (n, block) in (1..).zip(&self.blocks) {
            let (outputs, kernel) = (block.channels, block.kernel);
            let even = Start::EvenBelowRoot(inputs.saturating_mul(kernel).saturating_mul(kernel));
            let shape = [outputs, inputs, kernel, kernel];
            parameters.push(Parameter::new(format!("conv{n}.weight"), &shape, even));
            parameters.push(Parameter::new(format!("conv{n}.bias"), &[outputs], even));
            if block.batch_norm {
                for (name, start) in
                    [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)]
                {
                    parameters.push(Parameter::new(
                        format!("bn{n}.{name}"),
                        &[outputs],
                        Start::Constant(start),
                    ));
                }
            }
            inputs = outputs;
        }
        let features = self.features();
        let even = Start::EvenBelowRoot(features);
        parameters.push(Parameter::new("fc.weight", &[self.outputs, features], even));
        parameters.push(Parameter::new("fc.bias", &[self.outputs], even));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::super::PoolKind;
    use super::*;
    use crate::nn::Architecture;

    #[test]
    fn the_article_has_its_tensors() {
        let article = Architecture::ConvClassifier(Config::article(10));
        article.validate().unwrap();
        let shapes: Vec<(String, Vec<usize>)> = article.tensors().into_iter().collect();
        let expected: [(&str, &[usize]); 6] = [
            ("conv1.bias", &[64]),
            ("conv1.weight", &[64, 3, 3, 3]),
            ("conv2.bias", &[128]),
            ("conv2.weight", &[128, 64, 3, 3]),
            ("fc.bias", &[10]),
            ("fc.weight", &[10, 128 * 49]),
        ];
        assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        type Spoil = fn(&mut Config);
        let cases: [(Spoil, &str); 7] = [
            (|c| c.channels = 4, "architecture.channels: is 4, expected 3 (RGB) or 1 (grey)"),
            (|c| c.blocks[0].kernel = 17, "architecture.blocks[0].kernel: is 17, larger than"),
            (|c| c.blocks[1].stride = 0, "architecture.blocks[1].stride: is 0, expected 1 to"),
            (
                |c| c.blocks[1].pool = Some(Pool { kind: PoolKind::Max, size: 15, stride: None }),
                "architecture.blocks[1].pool.size: is 15, larger than the 14 × 14",
            ),
            (|c| c.blocks.clear(), "architecture.blocks (their number): is 0"),
            (|c| c.dropout = f32::NAN, "architecture.dropout: is NaN"),
            (|c| c.outputs = 0, "architecture.outputs: is 0"),
        ];
        for (spoil, expected) in cases {
            let mut config = Config::article(10);
            spoil(&mut config);
            let found = Architecture::ConvClassifier(config).validate().unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
