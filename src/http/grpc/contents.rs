//! The elements of input tensors: raw, as they are kept, or typed, which are written as raw ones.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::inference::InferTensorContents;
use super::inference::model_infer_request::InferInputTensor;
use crate::http::oip::datatype::Datatype;
use crate::http::oip::errors::invalid;
use crate::http::oip::tensor::{Tensor, put_element};
use crate::http::problem::{Code, Problem};

/// The tensors of a request to this model.
///
/// # Errors
/// The elements of an input are missing, given twice, or of another datatype.
pub(super) fn tensors(
    model: &str,
    inputs: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
) -> Result<Vec<Tensor>, Problem> {
    let (count, given) = (inputs.len(), raw.len());
    let is_raw = given > 0;
    if given > count {
        let detail = format!(
            "expected {count} raw_input_contents for model '{model}', one for each input, got {given}"
        );
        return Err(invalid(detail));
    }
    let mut raw = raw.into_iter();
    let mut tensors = Vec::with_capacity(count);
    for InferInputTensor { name, datatype, shape, parameters, contents } in inputs {
        if parameters.contains_key("shared_memory_region") {
            return Err(shared_memory());
        }
        let datatype = Datatype::named(&datatype).ok_or_else(|| unknown(&name, model, &datatype))?;
        let data = match contents {
            Some(_) if is_raw => {
                return Err(invalid(format!(
                    "contents field must not be specified when using raw_input_contents for '{name}' for model '{model}'"
                )));
            }
            Some(contents) => Typed { name: &name, model, datatype }.write(contents)?,
            None => raw.next().ok_or_else(|| {
                invalid(format!(
                    "unable to find data for input tensor '{name}' for model '{model}' in request."
                ))
            })?,
        };
        tensors.push(Tensor { name, datatype, shape, data });
    }
    Ok(tensors)
}

/// That this server shares no memory with its clients.
pub(super) fn shared_memory() -> Problem {
    let detail = "this server shares no memory with its clients: send tensors in raw_input_contents";
    Problem::new(Code::NotSupported, detail)
}

fn unknown(name: &str, model: &str, datatype: &str) -> Problem {
    let shown: String = datatype.chars().take(20).collect();
    let known = Datatype::ALL.map(Datatype::as_str).join(", ");
    invalid(format!("unknown datatype '{shown}' of input '{name}' for model '{model}'; datatypes: {known}"))
}

/// An input whose elements are typed.
struct Typed<'a> {
    name: &'a str,
    model: &'a str,
    datatype: Datatype,
}

impl Typed<'_> {
    /// The elements as they are raw. No list at all is no element, which the shape then says something of.
    fn write(&self, contents: InferTensorContents) -> Result<Bytes, Problem> {
        use Datatype as D;
        let InferTensorContents {
            bool_contents: bools,
            int_contents: ints,
            int64_contents: int64s,
            uint_contents: uints,
            uint64_contents: uint64s,
            fp32_contents: fp32s,
            fp64_contents: fp64s,
            bytes_contents: strings,
        } = contents;
        let lists = [
            (!bools.is_empty(), D::Bool),
            (
                !ints.is_empty(),
                if matches!(self.datatype, D::Int8 | D::Int16) { self.datatype } else { D::Int32 },
            ),
            (!int64s.is_empty(), D::Int64),
            (
                !uints.is_empty(),
                if matches!(self.datatype, D::Uint8 | D::Uint16) { self.datatype } else { D::Uint32 },
            ),
            (!uint64s.is_empty(), D::Uint64),
            (!fp32s.is_empty(), D::Fp32),
            (!fp64s.is_empty(), D::Fp64),
            (!strings.is_empty(), D::Bytes),
        ];
        let mut filled = lists.into_iter().filter_map(|(filled, datatype)| filled.then_some(datatype));
        let Some(datatype) = filled.next() else { return Ok(Bytes::new()) };
        self.expect(datatype)?;
        if filled.next().is_some() {
            return Err(self.unexpected(", binary data was already supplied."));
        }
        match datatype {
            D::Bool => Ok(bools.into_iter().map(u8::from).collect()),
            D::Int8 => self.narrow(&ints, i8::to_le_bytes),
            D::Int16 => self.narrow(&ints, i16::to_le_bytes),
            D::Int32 => Ok(written(&ints, i32::to_le_bytes)),
            D::Int64 => Ok(written(&int64s, i64::to_le_bytes)),
            D::Uint8 => self.narrow(&uints, u8::to_le_bytes),
            D::Uint16 => self.narrow(&uints, u16::to_le_bytes),
            D::Uint32 => Ok(written(&uints, u32::to_le_bytes)),
            D::Uint64 => Ok(written(&uint64s, u64::to_le_bytes)),
            D::Fp32 => Ok(written(&fp32s, f32::to_le_bytes)),
            D::Fp64 => Ok(written(&fp64s, f64::to_le_bytes)),
            D::Bytes => Ok(length_prefixed(&strings)),
            D::Fp16 | D::Bf16 => Ok(Bytes::new()),
        }
    }

    fn expect(&self, given: Datatype) -> Result<(), Problem> {
        if given == self.datatype {
            return Ok(());
        }
        let (given, expected) = (given.as_str(), self.datatype.as_str());
        Err(self.unexpected(&format!(" of type '{given}', expected datatype '{expected}'")))
    }

    fn unexpected(&self, why: &str) -> Problem {
        let Self { name, model, .. } = self;
        invalid(format!("unexpected explicit tensor data for input tensor '{name}' for model '{model}'{why}"))
    }

    /// Elements that come in a wider type than they have.
    fn narrow<W, T, const N: usize>(&self, wide: &[W], bytes: fn(T) -> [u8; N]) -> Result<Bytes, Problem>
    where
        W: Copy + std::fmt::Display,
        T: TryFrom<W>,
    {
        let mut data = BytesMut::with_capacity(wide.len() * N);
        for value in wide {
            let narrow = T::try_from(*value).map_err(|_| {
                let Self { name, model, datatype } = self;
                let datatype = datatype.as_str();
                invalid(format!(
                    "element {value} of input tensor '{name}' for model '{model}' is no {datatype}"
                ))
            })?;
            data.put_slice(&bytes(narrow));
        }
        Ok(data.freeze())
    }
}

fn written<T: Copy, const N: usize>(values: &[T], bytes: fn(T) -> [u8; N]) -> Bytes {
    let mut data = BytesMut::with_capacity(values.len() * N);
    for value in values {
        data.put_slice(&bytes(*value));
    }
    data.freeze()
}

fn length_prefixed(strings: &[Bytes]) -> Bytes {
    let mut data = BytesMut::with_capacity(strings.iter().map(|string| 4 + string.len()).sum());
    for string in strings {
        put_element(&mut data, string);
    }
    data.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(datatype: &str, contents: Option<InferTensorContents>) -> InferInputTensor {
        InferInputTensor {
            name: "x".to_owned(),
            datatype: datatype.to_owned(),
            shape: vec![1],
            parameters: std::collections::BTreeMap::new(),
            contents,
        }
    }

    fn read(input: InferInputTensor, raw: &[&'static [u8]]) -> Result<Bytes, Problem> {
        let raw = raw.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        tensors("m", vec![input], raw).map(|mut tensors| tensors.remove(0).data)
    }

    #[test]
    fn typed_elements_are_written_as_raw_ones() {
        let none = InferTensorContents::default;
        let cases: [(&str, InferTensorContents, &[u8]); 12] = [
            ("BOOL", InferTensorContents { bool_contents: vec![true, false], ..none() }, &[1, 0]),
            ("INT8", InferTensorContents { int_contents: vec![-1, 127], ..none() }, &[255, 127]),
            ("INT16", InferTensorContents { int_contents: vec![-2], ..none() }, &[254, 255]),
            ("INT32", InferTensorContents { int_contents: vec![1], ..none() }, &[1, 0, 0, 0]),
            ("INT64", InferTensorContents { int64_contents: vec![1], ..none() }, &[1, 0, 0, 0, 0, 0, 0, 0]),
            ("UINT8", InferTensorContents { uint_contents: vec![255], ..none() }, &[255]),
            ("UINT16", InferTensorContents { uint_contents: vec![256], ..none() }, &[0, 1]),
            ("UINT32", InferTensorContents { uint_contents: vec![2], ..none() }, &[2, 0, 0, 0]),
            ("UINT64", InferTensorContents { uint64_contents: vec![2], ..none() }, &[2, 0, 0, 0, 0, 0, 0, 0]),
            ("FP32", InferTensorContents { fp32_contents: vec![1.0], ..none() }, &[0, 0, 128, 63]),
            (
                "FP64",
                InferTensorContents { fp64_contents: vec![1.0], ..none() },
                &[0, 0, 0, 0, 0, 0, 240, 63],
            ),
            (
                "BYTES",
                InferTensorContents { bytes_contents: vec!["ab".into(), "".into()], ..none() },
                b"\x02\0\0\0ab\0\0\0\0",
            ),
        ];
        for (datatype, contents, expected) in cases {
            assert_eq!(read(input(datatype, Some(contents)), &[]).unwrap(), expected, "{datatype}");
        }
        assert_eq!(read(input("FP32", Some(none())), &[]).unwrap(), "");
    }

    #[test]
    fn raw_elements_are_shared_and_not_copied() {
        let raw = Bytes::from_static(b"1234");
        let tensors = tensors("m", vec![input("FP16", None)], vec![raw.clone()]).unwrap();
        assert_eq!(tensors[0].data.as_ptr(), raw.as_ptr());
    }

    #[test]
    fn elements_that_do_not_fit_are_refused_in_known_words() {
        let floats =
            || Some(InferTensorContents { fp32_contents: vec![1.0], ..InferTensorContents::default() });
        let both = Some(InferTensorContents { fp64_contents: vec![1.0], ..floats().unwrap() });
        let big = Some(InferTensorContents { int_contents: vec![128], ..InferTensorContents::default() });
        let unexpected = "unexpected explicit tensor data for input tensor 'x' for model 'm'";
        let cases: [(InferInputTensor, &[&'static [u8]], String); 8] = [
            (input("INT64", floats()), &[], format!("{unexpected} of type 'FP32', expected datatype 'INT64'")),
            (input("FP16", floats()), &[], format!("{unexpected} of type 'FP32', expected datatype 'FP16'")),
            (input("FP32", both), &[], format!("{unexpected}, binary data was already supplied.")),
            (input("INT8", big), &[], "element 128 of input tensor 'x' for model 'm' is no INT8".to_owned()),
            (
                input("FP32", floats()),
                &[b"1234"],
                "contents field must not be specified when using raw_input_contents for 'x' for model 'm'".to_owned(),
            ),
            (
                input("FP32", None),
                &[],
                "unable to find data for input tensor 'x' for model 'm' in request.".to_owned(),
            ),
            (
                input("FP32", None),
                &[b"1234", b"5678"],
                "expected 1 raw_input_contents for model 'm', one for each input, got 2".to_owned(),
            ),
            (
                input("FLOAT", None),
                &[],
                "unknown datatype 'FLOAT' of input 'x' for model 'm'; datatypes: BOOL, UINT8, UINT16, UINT32, UINT64, \
                 INT8, INT16, INT32, INT64, FP16, FP32, FP64, BF16, BYTES"
                    .to_owned(),
            ),
        ];
        for (input, raw, expected) in cases {
            assert_eq!(read(input, raw).unwrap_err().detail, expected);
        }
        let mut shared = input("FP32", None);
        shared.parameters.insert(
            "shared_memory_region".to_owned(),
            crate::http::grpc::inference::InferParameter::default(),
        );
        assert_eq!(read(shared, &[]).unwrap_err().code, Code::NotSupported);
    }
}
