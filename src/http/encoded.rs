//! Base64, as callers send bytes in JSON.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::problem::{Code, Problem};

/// Padding may be there or not: both are seen in the wild and neither is ambiguous.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a text in base64, with or without `data:…;base64,` before them and line breaks within.
///
/// # Errors
/// It is not base64, and where it stops being so.
pub(super) fn bytes(text: &str) -> Result<Bytes, Problem> {
    let text = match text.strip_prefix("data:") {
        None => text,
        Some(url) => match url.split_once(";base64,") {
            Some((_, data)) => data,
            None => return Err(Problem::new(Code::InvalidBase64, "the data: URL has no \";base64,\" in it")),
        },
    };
    let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        BASE64.decode(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>())
    } else {
        BASE64.decode(text)
    };
    decoded.map(Bytes::from).map_err(|error| {
        let detail = format!("the input is not base64 in the standard alphabet: {error}");
        Problem::new(Code::InvalidBase64, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_taken_in_its_usual_forms() {
        for text in ["aGk=", "aGk", "data:image/png;base64,aGk=", "a\nG\r\nk="] {
            assert_eq!(bytes(text).unwrap(), "hi", "{text}");
        }
        for text in ["a$k=", "aGk==", "data:image/png,hi", "data:"] {
            assert_eq!(bytes(text).unwrap_err().code, Code::InvalidBase64, "{text}");
        }
    }
}
