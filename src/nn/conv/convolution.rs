//! Convolution on channels-last pictures: windows unfolded into rows, times one matrix, piece by piece.
//!
//! The product runs at the speed of a matrix product, and a piece is small enough for a cache.

use candle_core::{Result, Tensor, bail};

use super::Block;
use super::windows::Windows;
use crate::limits;
use crate::nn::gradient::{Rule, column_sums, differentiable};

/// B × H' × W' × O of B × H × W × C, a kernel O × C × K × K and a bias O.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, bias: &Tensor, block: &Block) -> Result<Tensor> {
    let (_, height, width, channels) = x.dims4()?;
    let (padding, size, step) = (block.padding, block.kernel, block.stride);
    let windows = Windows { height: height + 2 * padding, width: width + 2 * padding, size, step };
    let rule = Convolution { windows, padding, channels, needs_input: x.track_op() };
    let result = rule.forward(&x.detach(), &weight.detach(), &bias.detach())?;
    differentiable(result, &[x, weight, bias], rule)
}

struct Convolution {
    /// Over the padded picture.
    windows: Windows,
    padding: usize,
    channels: usize,
    needs_input: bool,
}

/// Part of a batch whose unfolded windows are few enough: some whole pictures, or some rows of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    picture: usize,
    pictures: usize,
    row: usize,
    rows: usize,
}

impl Convolution {
    /// Values of one unfolded window.
    fn window_values(&self) -> usize {
        self.windows.area() * self.channels
    }

    /// The batch in pieces of at most `values_max` unfolded values, or of one row of positions.
    fn pieces(&self, pictures: usize, values_max: usize) -> Vec<Piece> {
        let down = self.windows.down();
        let row_values = (self.windows.across() * self.window_values()).max(1);
        let at_once = values_max / (row_values * down).max(1);
        if at_once > 0 {
            let starts = (0..pictures).step_by(at_once);
            let piece =
                |picture| Piece { picture, pictures: at_once.min(pictures - picture), row: 0, rows: down };
            return starts.map(piece).collect();
        }
        let rows_max = (values_max / row_values).max(1);
        let starts =
            (0..pictures).flat_map(|picture| (0..down).step_by(rows_max).map(move |row| (picture, row)));
        starts
            .map(|(picture, row)| Piece { picture, pictures: 1, row, rows: rows_max.min(down - row) })
            .collect()
    }

    /// B × H·W × C with the padding around.
    fn padded(&self, x: &Tensor) -> Result<Tensor> {
        let padding = self.padding;
        let padded = x.pad_with_zeros(1, padding, padding)?.pad_with_zeros(2, padding, padding)?;
        padded.contiguous()?.reshape((x.dim(0)?, self.windows.height * self.windows.width, self.channels))
    }

    /// K·K·C × O, as the unfolded windows lie.
    fn matrix(&self, weight: &Tensor) -> Result<Tensor> {
        weight.permute((2, 3, 1, 0))?.contiguous()?.reshape((self.window_values(), weight.dim(0)?))
    }

    /// Positions × K·K·C.
    fn unfold(&self, padded: &Tensor, pixels: &Tensor, piece: Piece) -> Result<Tensor> {
        let positions = piece.pictures * piece.rows * self.windows.across();
        let pictures = padded.narrow(0, piece.picture, piece.pictures)?;
        pictures.index_select(pixels, 1)?.reshape((positions, self.window_values()))
    }

    fn forward(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (padded, matrix) = (self.padded(x)?, self.matrix(weight)?);
        let pictures = x.dim(0)?;
        let mut pixels = Pixels::default();
        let mut parts = Vec::new();
        for piece in self.pieces(pictures, limits::CONV_COLUMNS_MAX) {
            let unfolded = self.unfold(&padded, &pixels.of(self, piece, x)?, piece)?;
            parts.push(unfolded.matmul(&matrix)?.broadcast_add(bias)?);
        }
        let whole = match parts.as_slice() {
            [part] => part.clone(),
            parts => Tensor::cat(parts, 0)?,
        };
        whole.reshape((pictures, self.windows.down(), self.windows.across(), weight.dim(0)?))
    }
}

/// The last piece's pixels: most pieces of a batch read the same ones.
#[derive(Default)]
struct Pixels {
    last: Option<(usize, usize, Tensor)>,
}

impl Pixels {
    fn of(&mut self, convolution: &Convolution, piece: Piece, like: &Tensor) -> Result<Tensor> {
        match &self.last {
            Some((row, rows, pixels)) if (*row, *rows) == (piece.row, piece.rows) => Ok(pixels.clone()),
            _ => {
                let pixels = convolution.windows.pixels(piece.row, piece.rows, like.device())?;
                self.last = Some((piece.row, piece.rows, pixels.clone()));
                Ok(pixels)
            }
        }
    }
}

impl Rule for Convolution {
    const NAME: &'static str = "convolution";

    fn gradients(&self, arguments: &[Tensor], _: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, _] = arguments else { bail!("a convolution has three arguments") };
        let (pictures, height, width, channels) = x.dims4()?;
        let outputs = weight.dim(0)?;
        let (padded, matrix) = (self.padded(x)?, self.matrix(weight)?.t()?);
        let gradient = gradient.contiguous()?.reshape(((), outputs))?;
        let mut of_matrix = Tensor::zeros((self.window_values(), outputs), x.dtype(), x.device())?;
        let mut of_padded = Vec::new();
        let mut pixels = Pixels::default();
        let mut start = 0;
        for piece in self.pieces(pictures, limits::CONV_COLUMNS_MAX) {
            let positions = piece.pictures * piece.rows * self.windows.across();
            let gradient = gradient.narrow(0, start, positions)?;
            start += positions;
            let pixels = pixels.of(self, piece, x)?;
            let unfolded = self.unfold(&padded, &pixels, piece)?;
            of_matrix = (of_matrix + unfolded.t()?.matmul(&gradient)?)?;
            if self.needs_input {
                let of_windows = gradient.matmul(&matrix)?.reshape((piece.pictures, (), channels))?;
                // Pieces of one picture add up; pieces of whole pictures follow each other.
                let folded = match of_padded.pop_if(|_| piece.row > 0) {
                    Some(begun) => begun,
                    None => padded.narrow(0, piece.picture, piece.pictures)?.zeros_like()?,
                };
                of_padded.push(folded.index_add(&pixels, &of_windows, 1)?);
            }
        }
        let of_x = if self.needs_input {
            let shape = (pictures, self.windows.height, self.windows.width, channels);
            let folded = Tensor::cat(&of_padded, 0)?.reshape(shape)?;
            Some(folded.narrow(1, self.padding, height)?.narrow(2, self.padding, width)?.contiguous()?)
        } else {
            None
        };
        let size = self.windows.size;
        let of_weight =
            of_matrix.reshape((size, size, channels, outputs))?.permute((3, 2, 0, 1))?.contiguous()?;
        Ok(vec![of_x, Some(of_weight), Some(column_sums(&gradient)?)])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::conv::Activation;

    fn block(kernel: usize, stride: usize, padding: usize) -> Block {
        let activation = Activation::None;
        Block { channels: 4, kernel, stride, padding, batch_norm: false, activation, pool: None }
    }

    #[test]
    fn convolution_is_candles_own() {
        let random = |shape: &[usize]| Tensor::randn(0_f32, 1.0, shape, &Device::Cpu).unwrap();
        for (kernel, stride, padding) in [(3, 1, 1), (1, 1, 0), (5, 2, 2), (2, 3, 0), (3, 2, 4)] {
            let (x, weight) = (random(&[3, 2, 9, 7]), random(&[4, 2, kernel, kernel]));
            let bias = random(&[4]);
            let plain = x.conv2d(&weight, padding, stride, 1, 1).unwrap();
            let plain = plain.broadcast_add(&bias.reshape((1, 4, 1, 1)).unwrap()).unwrap();
            let last = x.permute((0, 2, 3, 1)).unwrap();
            let ours = convolve(&last, &weight, &bias, &block(kernel, stride, padding)).unwrap();
            let difference = (ours.permute((0, 3, 1, 2)).unwrap() - plain).unwrap().abs().unwrap();
            let difference = difference.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-5, "{kernel} {stride} {padding}: {difference}");
        }
    }

    #[test]
    fn pieces_cover_a_batch_in_order() {
        let windows = Windows { height: 6, width: 4, size: 3, step: 1 };
        let convolution = Convolution { windows, padding: 0, channels: 1, needs_input: false };
        // A picture has 4 rows of 2 positions of 9 values.
        let whole = |picture, pictures| Piece { picture, pictures, row: 0, rows: 4 };
        assert_eq!(convolution.pieces(5, 150), [whole(0, 2), whole(2, 2), whole(4, 1)]);
        let part = |picture, row, rows| Piece { picture, pictures: 1, row, rows };
        assert_eq!(convolution.pieces(2, 54), [part(0, 0, 3), part(0, 3, 1), part(1, 0, 3), part(1, 3, 1)]);
        assert_eq!(convolution.pieces(1, 1).len(), 4);
    }
}
