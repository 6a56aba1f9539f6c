//! Windows over pictures that lie channels-last, B × H × W × C: what convolution and pooling read.

use candle_core::{Device, Result, Tensor};

use super::sizes::positions;
use crate::nn::collate::indices;

/// A square window that moves over an unpadded picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// Height of the picture.
    pub(super) height: usize,
    /// Width of the picture.
    pub(super) width: usize,
    /// Side of the window.
    pub(super) size: usize,
    /// Step of the window.
    pub(super) step: usize,
}

impl Windows {
    /// Rows of positions.
    pub(super) fn down(&self) -> usize {
        positions(self.height, self.size, self.step).unwrap_or(0)
    }

    /// Positions in a row.
    pub(super) fn across(&self) -> usize {
        positions(self.width, self.size, self.step).unwrap_or(0)
    }

    /// Values of a window, of one channel.
    pub(super) fn area(&self) -> usize {
        self.size * self.size
    }

    /// For each position of `count` rows of positions from row `first`, window by window: which pixel, H·W of them.
    pub(super) fn pixels(&self, first: usize, count: usize, device: &Device) -> Result<Tensor> {
        let mut pixels = Vec::with_capacity(count * self.across() * self.area());
        for row in first..first + count {
            for column in 0..self.across() {
                for y in row * self.step..row * self.step + self.size {
                    let line = y * self.width + column * self.step;
                    pixels.extend(line..line + self.size);
                }
            }
        }
        indices(&pixels, device)
    }
}
