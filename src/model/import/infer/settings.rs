//! What tensors cannot tell, as `key=value`.

use std::collections::BTreeMap;

use super::super::ImportError;
use crate::limits;
use crate::nn::conv::{Activation, Head, Pool, PoolKind};
use crate::nn::lstm::Pooling;

/// Every setting: its key (`N` is a block's number, from 1), and what it means.
pub const SETTINGS: &[(&str, &str)] = &[
    (
        "pooling",
        "LSTM: how hidden states become one vector: last (default), mean, max or none (an output a token)",
    ),
    ("dropout", "dropout kept for later training: 0 (default) or more, below 1"),
    ("preset", "convolution: article, the network of conv 3→64→128, max-pooling and 14 × 14 pictures"),
    ("height", "convolution: height of the pictures, pixels"),
    ("width", "convolution: width of the pictures, pixels; the height when absent"),
    ("head", "convolution: flatten or global-average; found from the linear layer's inputs when absent"),
    ("pool", "convolution, all blocks: none, max2, average2, max3/2 (window 3, step 2)"),
    ("stride", "convolution, all blocks: step of the kernel; 1 when absent"),
    ("padding", "convolution, all blocks: zero padding; half the kernel when absent"),
    ("activation", "convolution, all blocks: relu (default), gelu, silu or none"),
    ("blocks.N.pool", "the same for one block"),
    ("blocks.N.stride", "the same for one block"),
    ("blocks.N.padding", "the same for one block"),
    ("blocks.N.activation", "the same for one block"),
];

/// Keys of an LSTM.
pub(super) const LSTM_KEYS: &[&str] = &["pooling", "dropout"];
/// Keys of a convolutional network.
pub(super) const CONV_KEYS: &[&str] =
    &["dropout", "preset", "height", "width", "head", "pool", "stride", "padding", "activation", "blocks"];

/// Settings whose keys are known; their values are read where they are asked for.
#[derive(Debug)]
pub(super) struct Settings<'a>(&'a BTreeMap<String, String>);

impl<'a> Settings<'a> {
    pub(super) fn parse(settings: &'a BTreeMap<String, String>) -> Result<Self, ImportError> {
        for key in settings.keys() {
            let pattern = pattern(key);
            if !SETTINGS.iter().any(|(known, _)| *known == pattern) {
                let nearest = SETTINGS.iter().map(|(known, _)| *known).max_by(|a, b| {
                    strsim::jaro_winkler(a, &pattern).total_cmp(&strsim::jaro_winkler(b, &pattern))
                });
                let known: Vec<&str> = SETTINGS.iter().map(|(known, _)| *known).collect();
                return Err(ImportError(format!(
                    "there is no setting {key:?}; did you mean {:?}? Known are {}",
                    nearest.unwrap_or_default(),
                    known.join(", ")
                )));
            }
        }
        Ok(Self(settings))
    }

    /// Checks that every key is of this kind of network.
    pub(super) fn only_for(&self, network: &str, keys: &[&str]) -> Result<(), ImportError> {
        let first = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        match self.0.keys().find(|key| !keys.contains(&first(key).as_str())) {
            None => Ok(()),
            Some(key) => Err(ImportError(format!(
                "the tensors are of {network}, which has no setting {key:?}; it has {}",
                keys.join(", ")
            ))),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether any key begins so.
    pub(super) fn has_any(&self, start: &str) -> bool {
        self.0.keys().any(|key| key.starts_with(start))
    }

    /// The largest block number that a setting names.
    pub(super) fn block_max(&self) -> usize {
        let number = |key: &String| key.strip_prefix("blocks.")?.split('.').next()?.parse().ok();
        self.0.keys().filter_map(number).max().unwrap_or(0)
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(text) = self.0.get(key) else { return Ok(None) };
        let value = parse(text);
        value.map(Some).ok_or_else(|| ImportError(format!("setting {key} is {text:?}, expected {expected}")))
    }

    pub(super) fn pooling(&self) -> Result<Option<Pooling>, ImportError> {
        self.read("pooling", "last, mean, max or none", |text| {
            Some(match text {
                "last" => Pooling::Last,
                "mean" => Pooling::Mean,
                "max" => Pooling::Max,
                "none" => Pooling::None,
                _ => return None,
            })
        })
    }

    pub(super) fn dropout(&self) -> Result<f32, ImportError> {
        let parse = |text: &str| text.parse().ok().filter(|value| (0.0..1.0).contains(value));
        Ok(self.read("dropout", "0 or more, below 1", parse)?.unwrap_or(0.0))
    }

    /// Whether the article's network is asked for by name.
    pub(super) fn article(&self) -> Result<bool, ImportError> {
        Ok(self.read("preset", "article", |text| (text == "article").then_some(()))?.is_some())
    }

    pub(super) fn side(&self, key: &str) -> Result<Option<usize>, ImportError> {
        let most = limits::NETWORK_SIDE_MAX as usize;
        let parse = |text: &str| text.parse().ok().filter(|side| (1..=most).contains(side));
        self.read(key, &format!("pixels, 1 to {most}"), parse)
    }

    pub(super) fn head(&self) -> Result<Option<Head>, ImportError> {
        self.read("head", "flatten or global-average", |text| {
            Some(match text {
                "flatten" => Head::Flatten,
                "global-average" => Head::GlobalAverage,
                _ => return None,
            })
        })
    }

    /// A block's own value, else the one for all blocks.
    fn of_block<T>(
        &self,
        (block, key): (usize, &str),
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let own = self.read(&format!("blocks.{block}.{key}"), expected, &parse)?;
        if own.is_some() { Ok(own) } else { self.read(key, expected, parse) }
    }

    pub(super) fn stride(&self, block: usize) -> Result<Option<usize>, ImportError> {
        self.of_block((block, "stride"), "a number from 1", |text| text.parse().ok().filter(|step| *step > 0))
    }

    pub(super) fn padding(&self, block: usize) -> Result<Option<usize>, ImportError> {
        self.of_block((block, "padding"), "a number from 0", |text| text.parse().ok())
    }

    pub(super) fn activation(&self, block: usize) -> Result<Option<Activation>, ImportError> {
        self.of_block((block, "activation"), "relu, gelu, silu or none", |text| {
            Some(match text {
                "relu" => Activation::Relu,
                "gelu" => Activation::Gelu,
                "silu" => Activation::Silu,
                "none" => Activation::None,
                _ => return None,
            })
        })
    }

    /// The pooling asked for; `None` also where nothing is said.
    pub(super) fn pool(&self, block: usize) -> Result<Option<Pool>, ImportError> {
        let asked = self.of_block((block, "pool"), "none, max2, average2 or, with a step, max3/2", |text| {
            if text == "none" { Some(None) } else { pool(text).map(Some) }
        });
        Ok(asked?.flatten())
    }
}

/// `max2`, `average2`, `max3/2`.
fn pool(text: &str) -> Option<Pool> {
    let (kind, window) = match text.strip_prefix("max") {
        Some(window) => (PoolKind::Max, window),
        None => (PoolKind::Average, text.strip_prefix("average")?),
    };
    let (size, stride) = match window.split_once('/') {
        Some((size, stride)) => (size, Some(stride.parse().ok()?)),
        None => (window, None),
    };
    Some(Pool { kind, size: size.parse().ok()?, stride })
}

/// `blocks.2.pool` is `blocks.N.pool`.
fn pattern(key: &str) -> String {
    let of_block = key.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
    match of_block {
        Some((number, key)) if number.parse::<usize>().is_ok_and(|number| number > 0) => {
            format!("blocks.N.{key}")
        }
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_blocks_own_setting_is_over_the_one_for_all() {
        let settings = map(&[("pool", "max2"), ("blocks.2.pool", "average3/2"), ("blocks.3.pool", "none")]);
        let settings = Settings::parse(&settings).unwrap();
        let max = Pool { kind: PoolKind::Max, size: 2, stride: None };
        let average = Pool { kind: PoolKind::Average, size: 3, stride: Some(2) };
        assert_eq!(settings.pool(1).unwrap(), Some(max));
        assert_eq!(settings.pool(2).unwrap(), Some(average));
        assert_eq!(settings.pool(3).unwrap(), None);
        assert_eq!(settings.block_max(), 3);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        for (key, nearest) in
            [("poling", "pooling"), ("blocks.1.strid", "blocks.N.stride"), ("heigth", "height")]
        {
            let error = Settings::parse(&map(&[(key, "1")])).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {nearest:?}")), "{error}");
            assert!(error.contains("activation"), "{error}");
        }
        assert!(Settings::parse(&map(&[("blocks.0.pool", "none")])).is_err());
    }

    #[test]
    fn wrong_values_are_refused_with_what_is_expected() {
        let settings =
            map(&[("pooling", "sum"), ("height", "0"), ("dropout", "1"), ("pool", "max"), ("head", "x")]);
        let settings = Settings::parse(&settings).unwrap();
        assert!(settings.pooling().unwrap_err().0.contains("expected last, mean, max or none"));
        assert!(settings.side("height").unwrap_err().0.contains("expected pixels, 1 to 1024"));
        assert!(settings.dropout().is_err() && settings.pool(1).is_err() && settings.head().is_err());
    }
}
