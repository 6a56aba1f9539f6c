//! What every convolution kernel is told: sizes, weights, and what follows.

use super::curve::Curve;
use super::map::Map;
use super::pool::Kind;

/// Sizes of a convolution over a map: a square kernel, zero padding on every side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the kernel, at most the padded side of the input.
    pub kernel: usize,
    /// Step of the kernel, at least 1.
    pub stride: usize,
    /// Rows and columns of zeros on every side.
    pub padding: usize,
}

impl Shape {
    /// Rows of the output.
    #[must_use]
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Columns of the output.
    #[must_use]
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Products of an input and a weight, counting those with the padding.
    #[must_use]
    pub fn products(&self) -> usize {
        self.out_height() * self.out_width() * self.kernel * self.kernel * self.inputs * self.outputs
    }
}

/// Weights of a convolution. They are f64, so that what is folded and transformed at load is rounded once.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// outputs × inputs × kernel × kernel, `PyTorch`'s order.
    pub kernels: &'a [f64],
    /// One an output.
    pub bias: &'a [f64],
}

/// A convolution to be packed for a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Its sizes.
    pub shape: Shape,
    /// Its weights.
    pub weights: Weights<'a>,
    /// What follows it.
    pub after: After,
    /// The layout that is read; the kernel has a function that says which.
    pub input: Map,
    /// The layout that is written.
    pub output: Map,
}

/// The maps of a batch: a layer reads one and writes the other.
#[derive(Debug)]
pub struct Maps<'a> {
    /// Pictures of the batch.
    pub pictures: usize,
    /// Their maps before the layer, one after another.
    pub input: &'a [f32],
    /// Their maps after it.
    pub output: &'a mut [f32],
}

/// What is done to the sums before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// The activation.
    pub curve: Curve,
    /// What a window of 2 × 2 activations becomes; odd last rows and columns are dropped.
    pub pool: Option<Kind>,
}

#[cfg(test)]
pub(super) mod oracle;
