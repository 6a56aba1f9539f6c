//! Messages to bytes and back, with a bound on what a message may become: a field of two bytes becomes a structure of
//! hundreds, and a list of such fields would take a hundred times the memory of the message that brought it.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use super::status;
use crate::http::oip::errors::invalid;
use crate::http::problem::Problem;
use crate::limits::{MESSAGE_FIELDS_MAX, MESSAGE_STRINGS_MAX};

/// Field of a request to infer: an input. No other message has a field of this number.
const INPUT: u32 = 5;
/// Field of an input: its typed elements.
const CONTENTS: u32 = 5;
/// Field of typed elements: a byte string. Elements of the other types are packed, at a byte or more each.
const STRING: u32 = 8;

/// What generated code encodes and decodes with.
#[derive(Debug)]
pub(super) struct Bounded<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Bounded<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Bounded<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstDecoder::default())
    }
}

/// Looks at a message before it is decoded.
#[derive(Debug)]
pub(super) struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message is in one piece by now.
        check(buffer.chunk()).map_err(|problem| status::of(&problem))?;
        self.0.decode(buffer)
    }
}

/// Refuses a message of too many fields, or of too many byte strings among the elements of its inputs.
fn check(message: &[u8]) -> Result<(), Problem> {
    if Fields(message).count() > MESSAGE_FIELDS_MAX {
        return Err(invalid(format!(
            "the message has more than the {MESSAGE_FIELDS_MAX} fields that are taken"
        )));
    }
    let inputs = Fields(message).filter(|(number, _)| *number == INPUT).map(|(_, input)| Fields(input));
    let contents = inputs.flatten().filter(|(number, _)| *number == CONTENTS);
    let strings = contents.flat_map(|(_, contents)| Fields(contents)).filter(|(number, _)| *number == STRING);
    if strings.count() > MESSAGE_STRINGS_MAX {
        return Err(invalid(format!(
            "the message has more than the {MESSAGE_STRINGS_MAX} elements of bytes_contents that are taken: send them in \
             raw_input_contents"
        )));
    }
    Ok(())
}

/// The fields of a message in its bytes: their numbers, and their bytes where they have a length. It ends where the bytes
/// are no message, which decoding says then.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        let content = match tag & 7 {
            0 => self.varint().map(|_| &[][..]),
            1 => self.take(8).map(|_| &[][..]),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.take(length)
            }
            5 => self.take(4).map(|_| &[][..]),
            // The beginning and the end of a group, whose fields count like all others.
            3 | 4 => Some(&[][..]),
            _ => None,
        };
        Some((number, content?))
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of 7 bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::grpc::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
    use crate::http::grpc::inference::{InferTensorContents, ModelInferRequest};

    fn checked(request: &ModelInferRequest) -> Result<(), String> {
        check(&request.encode_to_vec()).map_err(|problem| problem.detail)
    }

    fn strings(count: usize) -> ModelInferRequest {
        let bytes_contents = vec![bytes::Bytes::new(); count];
        let contents = InferTensorContents { bytes_contents, ..InferTensorContents::default() };
        let input = InferInputTensor {
            name: "x".to_owned(),
            shape: vec![1, -1],
            contents: Some(contents),
            ..InferInputTensor::default()
        };
        ModelInferRequest { model_name: "m".to_owned(), inputs: vec![input], ..ModelInferRequest::default() }
    }

    #[test]
    fn fields_and_strings_are_bounded() {
        let inputs = |count| ModelInferRequest {
            inputs: vec![InferInputTensor::default(); count],
            ..ModelInferRequest::default()
        };
        checked(&inputs(MESSAGE_FIELDS_MAX)).unwrap();
        let refused = checked(&inputs(MESSAGE_FIELDS_MAX + 1)).unwrap_err();
        assert!(refused.contains("more than the 1024 fields"), "{refused}");
        let mixed = ModelInferRequest {
            outputs: vec![InferRequestedOutputTensor::default(); MESSAGE_FIELDS_MAX],
            raw_input_contents: vec![bytes::Bytes::new()],
            ..ModelInferRequest::default()
        };
        checked(&mixed).unwrap_err();
        checked(&strings(MESSAGE_STRINGS_MAX)).unwrap();
        let refused = checked(&strings(MESSAGE_STRINGS_MAX + 1)).unwrap_err();
        assert!(refused.contains("elements of bytes_contents"), "{refused}");
    }

    #[test]
    fn fields_are_those_of_the_message() {
        let request = ModelInferRequest {
            model_name: "m".to_owned(),
            id: "7".to_owned(),
            raw_input_contents: vec![vec![0; 300].into()],
            ..strings(1)
        };
        let bytes = request.encode_to_vec();
        let found: Vec<(u32, usize)> =
            Fields(&bytes).map(|(number, content)| (number, content.len())).collect();
        let input = request.inputs[0].encoded_len();
        assert_eq!(found, [(1, 1), (3, 1), (5, input), (7, 300)]);
        // Every wire type: a varint, 8 bytes, 4 bytes, a group.
        let bytes = [8, 0x96, 1, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4, 0x23, 0x24];
        let numbers: Vec<u32> = Fields(&bytes).map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 4]);
    }

    #[test]
    fn what_is_no_message_ends() {
        let endless = [0xff; 11];
        for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x0f], &[0x80], &endless, &[0x09, 1]] {
            assert_eq!(Fields(bytes).count(), 0, "{bytes:?}");
            check(bytes).unwrap();
        }
    }
}
