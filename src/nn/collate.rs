//! Rows become one tensor.

use candle_core::{Device, Tensor, bail};

use super::Architecture;
use crate::value::Features;

/// Several rows as a network takes them.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Token ids, padded with 0 at the end to the longest row.
    Tokens {
        /// B × T, u32.
        ids: Tensor,
        /// Valid tokens of each row, B of them.
        lengths: Vec<usize>,
    },
    /// Pictures, B × C × H × W, f32.
    Pixels(Tensor),
}

impl Batch {
    /// Collates prepared rows for a network of this architecture.
    ///
    /// # Errors
    /// There is no row, a row is of the wrong kind or size, or the device refuses.
    pub fn collate(
        rows: &[Features],
        architecture: &Architecture,
        device: &Device,
    ) -> candle_core::Result<Self> {
        if rows.is_empty() {
            bail!("a batch needs at least one row");
        }
        for (index, row) in rows.iter().enumerate() {
            if let Err(problem) = architecture.accepts(row) {
                bail!("row {index}: {problem}");
            }
        }
        match architecture {
            Architecture::LstmClassifier(_) => Self::of_tokens(rows, device),
            Architecture::ConvClassifier(config) => {
                let shape = (rows.len(), config.channels, config.height, config.width);
                let values = rows.iter().flat_map(pixels).copied().collect::<Vec<f32>>();
                Ok(Self::Pixels(Tensor::from_vec(values, shape, device)?))
            }
        }
    }

    fn of_tokens(rows: &[Features], device: &Device) -> candle_core::Result<Self> {
        let lengths: Vec<usize> = rows.iter().map(|row| tokens(row).len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * longest);
        for row in rows {
            ids.extend_from_slice(tokens(row));
            ids.resize(ids.len() + longest - tokens(row).len(), 0);
        }
        Ok(Self::Tokens { ids: Tensor::from_vec(ids, (rows.len(), longest), device)?, lengths })
    }

    /// Rows in the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Tokens { lengths, .. } => lengths.len(),
            Self::Pixels(values) => values.dims().first().copied().unwrap_or(0),
        }
    }
}

/// Indices as a tensor that candle selects by.
pub(super) fn indices(positions: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    let narrow = |&position: &usize| u32::try_from(position).map_err(candle_core::Error::wrap);
    let positions = positions.iter().map(narrow).collect::<candle_core::Result<Vec<u32>>>()?;
    let count = positions.len();
    Tensor::from_vec(positions, count, device)
}

fn tokens(row: &Features) -> &[u32] {
    match row {
        Features::Tokens(ids) => ids,
        Features::Pixels(_) => &[],
    }
}

fn pixels(row: &Features) -> &[f32] {
    match row {
        Features::Pixels(values) => values,
        Features::Tokens(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{conv, lstm};

    fn text_network() -> Architecture {
        Architecture::LstmClassifier(lstm::Config {
            vocabulary: 10,
            embedding_dim: 2,
            hidden_dim: 2,
            layers: 1,
            bidirectional: false,
            pooling: lstm::Pooling::Last,
            dropout: 0.0,
            outputs: 1,
        })
    }

    #[test]
    fn texts_are_padded_to_the_longest() {
        let rows = [Features::Tokens([1, 2, 3].into()), Features::Tokens([4].into())];
        let batch = Batch::collate(&rows, &text_network(), &Device::Cpu).unwrap();
        let Batch::Tokens { ids, lengths } = batch else { panic!("texts") };
        assert_eq!(ids.to_vec2::<u32>().unwrap(), [[1, 2, 3], [4, 0, 0]]);
        assert_eq!(lengths, [3, 1]);
    }

    #[test]
    fn pictures_are_stacked() {
        let network = Architecture::ConvClassifier(conv::Config::article(2));
        let rows = [Features::Pixels(vec![0.5; 588].into()), Features::Pixels(vec![1.0; 588].into())];
        let Batch::Pixels(values) = Batch::collate(&rows, &network, &Device::Cpu).unwrap() else {
            panic!("pictures")
        };
        assert_eq!(values.dims(), [2, 3, 14, 14]);
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        let refused = |row: Features| {
            Batch::collate(&[Features::Tokens([1].into()), row], &text_network(), &Device::Cpu)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(Features::Tokens([10].into())).contains("row 1: token id 10"));
        assert!(refused(Features::Tokens([].into())).contains("row 1: the text has 0 tokens"));
        assert!(refused(Features::Pixels(vec![0.0; 4].into())).contains("row 1: a picture"));
        assert!(Batch::collate(&[], &text_network(), &Device::Cpu).is_err());
    }
}
