//! An LSTM classifier in tensors: an embedding, one stack of LSTM layers, one linear layer.

use super::super::ImportError;
use super::Renamed;
use super::names::{Tensors, constant, module};
use super::settings::Settings;
use crate::limits;
use crate::nn::lstm::{Config, Pooling};

pub(super) fn infer(
    tensors: &mut Tensors,
    settings: &Settings<'_>,
) -> Result<(Config, Renamed), ImportError> {
    let stacks = tensors.names(|name, _| name.ends_with("weight_ih_l0"));
    let [first] = stacks.as_slice() else {
        return Err(ImportError(format!(
            "there is more than one LSTM ({}), expected one",
            stacks.join(", ")
        )));
    };
    let prefix = first.trim_end_matches("weight_ih_l0").to_owned();
    let (inputs, hidden) = sizes(tensors, &prefix)?;
    let mut renamed = Renamed::new();
    let bidirectional = tensors.any(|name, _| name == format!("{prefix}weight_ih_l0_reverse"));
    let mut layers = 0;
    while tensors.any(|name, _| name == format!("{prefix}weight_ih_l{layers}")) {
        if layers == limits::LSTM_LAYERS_MAX {
            return Err(ImportError(format!(
                "the LSTM has more than {layers} layers, the most that are taken"
            )));
        }
        for ending in if bidirectional { &["", "_reverse"][..] } else { &[""] } {
            take_layer(tensors, &mut renamed, (&prefix, &format!("l{layers}{ending}")), hidden)?;
        }
        layers += 1;
    }
    let pooled = if bidirectional { 2 * hidden } else { hidden };
    let head = find_head(tensors, pooled, inputs)?;
    let weight = tensors.need(&head)?;
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let bias = tensors.take(&format!("{}.bias", module(&head)));
    renamed.insert("fc.bias".into(), bias.unwrap_or_else(|| constant(&[outputs], 0.0)));
    renamed.insert("fc.weight".into(), weight);
    let embedding = find_embedding(tensors, inputs)?;
    let embedding = tensors.need(&embedding)?;
    let config = Config {
        vocabulary: embedding.shape.first().copied().unwrap_or(0),
        embedding_dim: inputs,
        hidden_dim: hidden,
        layers,
        bidirectional,
        pooling: settings.pooling()?.unwrap_or(Pooling::Last),
        dropout: settings.dropout()?,
        outputs,
    };
    renamed.insert("embedding.weight".into(), embedding);
    Ok((config, renamed))
}

/// Inputs and hidden width of the first layer.
fn sizes(tensors: &Tensors, prefix: &str) -> Result<(usize, usize), ImportError> {
    let shape = |name: &str| tensors.shape(&format!("{prefix}{name}")).unwrap_or_default();
    let (&[gates, inputs], &[recurrent_gates, hidden]) = (shape("weight_ih_l0"), shape("weight_hh_l0"))
    else {
        return Err(ImportError(format!(
            "{prefix}weight_ih_l0 and {prefix}weight_hh_l0 are not two matrices"
        )));
    };
    if tensors.any(|name, _| name.starts_with(&format!("{prefix}weight_hr_"))) {
        return Err(ImportError::new(
            "the LSTM projects its states (proj_size), which is not taken; train it without",
        ));
    }
    if gates == recurrent_gates && Some(gates) == hidden.checked_mul(4) {
        return Ok((inputs, hidden));
    }
    let kind = if Some(gates) == hidden.checked_mul(3) { " (three gates are those of a GRU)" } else { "" };
    Err(ImportError(format!(
        "{prefix}weight_ih_l0 has {gates} rows for a hidden width of {hidden}, an LSTM has four times the width{kind}; \
         only LSTMs are taken"
    )))
}

fn take_layer(
    tensors: &mut Tensors,
    renamed: &mut Renamed,
    (prefix, suffix): (&str, &str),
    hidden: usize,
) -> Result<(), ImportError> {
    for name in ["weight_ih", "weight_hh"] {
        let tensor = tensors.need(&format!("{prefix}{name}_{suffix}"))?;
        renamed.insert(format!("lstm.{name}_{suffix}"), tensor);
    }
    for name in ["bias_ih", "bias_hh"] {
        // An LSTM made with bias=False adds nothing.
        let tensor = tensors.take(&format!("{prefix}{name}_{suffix}"));
        renamed
            .insert(format!("lstm.{name}_{suffix}"), tensor.unwrap_or_else(|| constant(&[4 * hidden], 0.0)));
    }
    Ok(())
}

/// The matrix that takes the pooled states: the one with a bias, where the width alone does not tell it.
fn find_head(tensors: &Tensors, pooled: usize, inputs: usize) -> Result<String, ImportError> {
    let fits = tensors
        .names(|name, shape| name.ends_with(".weight") && matches!(shape, [_, width] if *width == pooled));
    let with_bias = |name: &&String| tensors.shape(&format!("{}.bias", module(name))).is_some();
    let embeds = |name: &&String| name.to_lowercase().contains("emb");
    let mut candidates: Vec<&String> = fits.iter().filter(|name| with_bias(name)).collect();
    if candidates.is_empty() {
        candidates = fits.iter().filter(|name| !embeds(name)).collect();
        // The embedding itself fits when it is as wide as the states.
        if candidates.len() > 1 && pooled == inputs {
            candidates.retain(|name| !name.contains("embed"));
        }
    }
    match candidates.as_slice() {
        [head] => Ok((*head).clone()),
        [] => Err(ImportError(format!(
            "no linear layer takes the LSTM's {pooled} outputs (a matrix [labels, {pooled}], with its bias); left are {}",
            tensors.list()
        ))),
        more => Err(ImportError(format!(
            "more than one linear layer could follow the LSTM: {more:?}; expected one, the last layer of the network"
        ))),
    }
}

/// The matrix that gives the first layer's inputs.
fn find_embedding(tensors: &Tensors, inputs: usize) -> Result<String, ImportError> {
    let fits = tensors
        .names(|name, shape| name.ends_with("weight") && matches!(shape, [_, width] if *width == inputs));
    let named: Vec<&String> = fits.iter().filter(|name| name.to_lowercase().contains("emb")).collect();
    match (named.as_slice(), fits.as_slice()) {
        ([embedding], _) => Ok((*embedding).clone()),
        ([], [embedding]) => Ok(embedding.clone()),
        ([], []) => Err(ImportError(format!(
            "there is no embedding (a matrix [vocabulary, {inputs}]); left are {}",
            tensors.list()
        ))),
        _ => Err(ImportError(format!("more than one matrix could be the embedding: {fits:?}"))),
    }
}
