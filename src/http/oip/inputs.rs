//! From tensors to inputs: which tensors make a row of a text or an image model.

use bytes::Bytes;

use super::errors::invalid;
use super::signature::{ATTENTION_MASK, IMAGE, INPUT_IDS, PIXELS, TENSOR, TEXT};
use super::tensor::Tensor;
use crate::http::ask::Given;
use crate::http::problem::Problem;
use crate::value::{Features, Input, Raster};

/// The id of padding after a row's tokens, where no mask says how many they are.
const PADDING: i64 = 0;

/// The inputs of the rows, from tensors that fit the model's signature.
///
/// # Errors
/// More than one tensor, or none, says what the rows are.
pub(super) fn rows(model: &str, tensors: &[Tensor]) -> Result<Vec<Given>, Problem> {
    let mut main = tensors.iter().filter(|tensor| tensor.name != ATTENTION_MASK);
    let (Some(tensor), None) = (main.next(), main.next()) else {
        let names: Vec<String> = tensors.iter().map(|tensor| format!("'{}'", tensor.name)).collect();
        return Err(invalid(format!(
            "expected exactly one of the inputs that model '{model}' lists, got [{}]; only '{ATTENTION_MASK}' goes \
             beside '{INPUT_IDS}'",
            names.join(",")
        )));
    };
    let mask = tensors.iter().find(|tensor| tensor.name == ATTENTION_MASK);
    if let Some(mask) = mask
        && (tensor.name != INPUT_IDS || mask.shape != tensor.shape)
    {
        return Err(invalid(format!(
            "input '{ATTENTION_MASK}' goes with '{INPUT_IDS}' of the same shape only, for model '{model}'"
        )));
    }
    match tensor.name.as_str() {
        TEXT => Ok(tensor.byte_strings(model)?.iter().map(|bytes| text(bytes)).collect()),
        INPUT_IDS => Ok(tokens(tensor, mask)),
        IMAGE => Ok(tensor.byte_strings(model)?.into_iter().map(|bytes| Ok(Input::Picture(bytes))).collect()),
        PIXELS => Ok(pictures(tensor)),
        TENSOR => Ok(ready(tensor)),
        other => Err(invalid(format!("unexpected inference input '{other}' for model '{model}'"))),
    }
}

fn text(bytes: &[u8]) -> Given {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| invalid(format!("the text is not UTF-8 from byte {} on", error.valid_up_to())))?;
    Ok(Input::Text(text.to_owned()))
}

/// The values of each row, of which there are as many as the tensor's shape says: a row may be of no values.
fn split<'a, T>(tensor: &Tensor, values: &'a [T]) -> Vec<&'a [T]> {
    let rows = tensor.shape.first().map_or(0, |rows| usize::try_from(*rows).unwrap_or(0));
    let width = values.len().checked_div(rows).unwrap_or(0);
    (0..rows).map(|row| values.get(row * width..(row + 1) * width).unwrap_or(&[])).collect()
}

fn tokens(tensor: &Tensor, mask: Option<&Tensor>) -> Vec<Given> {
    let numbers = |tensor: &Tensor| tensor.chunks().map(i64::from_le_bytes).collect::<Vec<_>>();
    let ids = numbers(tensor);
    let masks = mask.map(numbers);
    let ids = split(tensor, &ids);
    match &masks {
        None => ids.into_iter().map(|ids| row_of_tokens(unpadded(ids))).collect(),
        Some(masks) => {
            let masks = split(tensor, masks);
            ids.into_iter().zip(masks).map(|(ids, mask)| row_of_tokens(masked(ids, mask)?)).collect()
        }
    }
}

/// The ids before the padding at the end.
fn unpadded(ids: &[i64]) -> &[i64] {
    let length = ids.iter().rposition(|id| *id != PADDING).map_or(0, |last| last + 1);
    ids.get(..length).unwrap_or(&[])
}

/// The ids that the mask says count: those at the beginning.
fn masked<'a>(ids: &'a [i64], mask: &[i64]) -> Result<&'a [i64], Problem> {
    let length = mask.iter().take_while(|flag| **flag == 1).count();
    if mask.iter().skip(length).any(|flag| *flag != 0) {
        return Err(invalid(format!(
            "the '{ATTENTION_MASK}' is not ones and then zeros: padding comes after the tokens"
        )));
    }
    Ok(ids.get(..length).unwrap_or(&[]))
}

fn row_of_tokens(ids: &[i64]) -> Given {
    let ids = ids.iter().map(|id| {
        u32::try_from(*id).map_err(|_| invalid(format!("token id {id} is not from 0 to {}", u32::MAX)))
    });
    Ok(Input::Ready(Features::Tokens(ids.collect::<Result<Vec<u32>, Problem>>()?.into())))
}

/// Pictures of one size, H × W × C.
fn pictures(tensor: &Tensor) -> Vec<Given> {
    let &[rows, height, width, channels] = tensor.shape.as_slice() else { return Vec::new() };
    let rows = usize::try_from(rows).unwrap_or(0);
    let size = tensor.data.len().checked_div(rows).unwrap_or(0);
    let picture =
        |row: usize| raster([height, width], channels, tensor.data.slice(row * size..(row + 1) * size));
    (0..rows).map(picture).collect()
}

fn raster([height, width]: [i64; 2], channels: i64, pixels: Bytes) -> Given {
    let raster = || {
        let sides = [u32::try_from(height).ok()?, u32::try_from(width).ok()?];
        Raster::new(sides, u8::try_from(channels).ok()?, pixels)
    };
    raster().map(Input::Pixels).ok_or_else(|| {
        invalid(format!(
            "a picture of {height} x {width} pixels with {channels} channels is none: expected sides from 1 and 1 \
             (grey), 3 (RGB) or 4 (RGBA) channels"
        ))
    })
}

fn ready(tensor: &Tensor) -> Vec<Given> {
    let values: Vec<f32> = tensor.chunks().map(f32::from_le_bytes).collect();
    let rows = split(tensor, &values).into_iter();
    rows.map(|row| Ok(Input::Ready(Features::Pixels(row.into())))).collect()
}
