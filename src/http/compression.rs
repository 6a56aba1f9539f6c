//! Content codings: bodies of requests that come as gzip or deflate, and answers that go so to those who take them.

use std::io::Read as _;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};

use super::problem::{Code, Problem};
use crate::limits::{COMPRESSED_BYTES_MAX, COMPRESSED_BYTES_MIN, COMPRESSED_INLINE_BYTES_MAX};

/// A coding of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950, and from senders that take the name literally RFC 1951.
    Deflate,
}

impl Coding {
    /// The coding of a request's body; `None` when it is another, or more than one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Some(Self::Identity) };
        let name = value.to_str().ok()?.trim().to_ascii_lowercase();
        let coding = match name.as_str() {
            "identity" | "" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            _ => return None,
        };
        values.next().is_none().then_some(coding)
    }

    /// The coding of an answer: of those that the caller takes the one that it likes best, gzip first among equals.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let mut best = (Self::Identity, 0.0);
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let coding = match parts.next().map(str::to_ascii_lowercase).as_deref() {
                Some("gzip" | "x-gzip" | "*") => Self::Gzip,
                Some("deflate") => Self::Deflate,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse().ok()).unwrap_or(1.0);
            if weight > best.1 || (weight > 0.0 && weight >= best.1 && coding == Self::Gzip) {
                best = (coding, weight);
            }
        }
        best.0
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Takes the coding off a body that may have `bytes_max` bytes without it.
///
/// # Errors
/// It has more, or is not what it says.
pub(super) async fn decoded(coding: Coding, body: Bytes, bytes_max: usize) -> Result<Bytes, Problem> {
    // A few bytes may become many: never on a thread that others wait for.
    let decoding = tokio::task::spawn_blocking(move || decode(coding, &body, bytes_max));
    decoding.await.map_err(|_| Problem::new(Code::Internal, "decompressing the body panicked"))?
}

fn decode(coding: Coding, body: &[u8], bytes_max: usize) -> Result<Bytes, Problem> {
    let mut plain = Vec::new();
    // One byte more tells a body that is too large from one that just fits.
    let most = bytes_max as u64 + 1;
    let read = match coding {
        Coding::Identity => return Ok(Bytes::copy_from_slice(body)),
        Coding::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut plain),
        Coding::Deflate if is_zlib(body) => ZlibDecoder::new(body).take(most).read_to_end(&mut plain),
        Coding::Deflate => DeflateDecoder::new(body).take(most).read_to_end(&mut plain),
    };
    if plain.len() > bytes_max {
        let detail =
            format!("the body has more than the {bytes_max} bytes that are taken once it is decompressed");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    read.map_err(|error| {
        let detail = format!("the body cannot be decompressed as {}: {error}", coding.name());
        Problem::new(Code::IncompleteBody, detail)
    })?;
    Ok(plain.into())
}

/// Whether the bytes begin as RFC 1950 says: method 8, and a check that makes the first two a multiple of 31.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, check, ..]
        if method & 0x0f == 8 && (u32::from(*method) * 256 + u32::from(*check)).is_multiple_of(31))
}

/// Marks an answer that goes as it is: there are clients that ask for a coding and do not take it off everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsItIs;

/// Puts the coding that its caller wants on an answer, if it is worth it.
pub(super) async fn answer(coding: Coding, response: Response) -> Response {
    if coding == Coding::Identity || !is_worth_it(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = axum::body::to_bytes(body, COMPRESSED_BYTES_MAX).await else {
        // Its size was looked at: it is in memory and breaks off nowhere.
        return Response::from_parts(parts, Body::empty());
    };
    let encoded = if plain.len() <= COMPRESSED_INLINE_BYTES_MAX {
        encode(coding, &plain)
    } else {
        let bytes = plain.clone();
        tokio::task::spawn_blocking(move || encode(coding, &bytes)).await.unwrap_or_default()
    };
    let Some(encoded) = encoded else { return Response::from_parts(parts, Body::from(plain)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(parts, Body::from(encoded))
}

/// Whether an answer is in memory, of a size that compresses, of a type that compresses, and not compressed already.
fn is_worth_it(response: &Response) -> bool {
    let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let fits = size.is_some_and(|size| (COMPRESSED_BYTES_MIN..=COMPRESSED_BYTES_MAX).contains(&size));
    let headers = response.headers();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let compresses = content_type.starts_with("text/")
        || content_type.contains("json")
        || content_type == "application/octet-stream";
    fits && compresses
        && response.extensions().get::<AsItIs>().is_none()
        && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The bytes in this coding; `None` when that cannot be.
fn encode(coding: Coding, plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(plain.len() / 2);
    let read = match coding {
        Coding::Identity => return None,
        Coding::Gzip => GzEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded),
        Coding::Deflate => ZlibEncoder::new(plain, Compression::fast()).read_to_end(&mut encoded),
    };
    read.ok().map(|_| encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        let plain: Vec<u8> = (0..100_000_u32).map(|at| (at / 7).to_le_bytes()[0]).collect();
        for coding in [Coding::Gzip, Coding::Deflate] {
            let encoded = encode(coding, &plain).unwrap();
            assert!(encoded.len() < plain.len() / 4);
            assert_eq!(decode(coding, &encoded, plain.len()).unwrap(), plain, "{coding:?}");
            let larger = decode(coding, &encoded, plain.len() - 1).unwrap_err();
            assert_eq!(larger.code, Code::BodyTooLarge);
            let cut = decode(coding, &encoded[..encoded.len() / 2], plain.len()).unwrap_err();
            assert_eq!(cut.code, Code::IncompleteBody);
        }
        let mut raw = Vec::new();
        flate2::read::DeflateEncoder::new(&*plain, Compression::fast()).read_to_end(&mut raw).unwrap();
        assert_eq!(decode(Coding::Deflate, &raw, plain.len()).unwrap(), plain);
        assert!(decode(Coding::Gzip, b"plain text", 100).is_err());
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 8 << 20];
        let bomb = encode(Coding::Gzip, &zeros).unwrap();
        assert!(bomb.len() < 64 << 10);
        let problem = decode(Coding::Gzip, &bomb, 1 << 20).unwrap_err();
        assert_eq!(problem.code, Code::BodyTooLarge);
        assert!(problem.detail.contains("1048576 bytes"), "{}", problem.detail);
    }

    #[test]
    fn the_coding_of_a_body_is_one_that_is_known() {
        let cases = [
            (&[][..], Some(Coding::Identity)),
            (&["identity"], Some(Coding::Identity)),
            (&["GZIP"], Some(Coding::Gzip)),
            (&["deflate"], Some(Coding::Deflate)),
            (&["br"], None),
            (&["gzip, deflate"], None),
            (&["gzip", "gzip"], None),
        ];
        for (values, expected) in cases {
            assert_eq!(Coding::of(&headers(&header::CONTENT_ENCODING, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn the_coding_of_an_answer_is_the_one_liked_best() {
        let cases = [
            (&[][..], Coding::Identity),
            (&["gzip"], Coding::Gzip),
            (&["deflate, gzip"], Coding::Gzip),
            (&["deflate"], Coding::Deflate),
            (&["deflate;q=1.0, gzip;q=0.5"], Coding::Deflate),
            (&["gzip;q=0"], Coding::Identity),
            (&["br", "gzip"], Coding::Gzip),
            (&["*"], Coding::Gzip),
            (&["identity"], Coding::Identity),
        ];
        for (values, expected) in cases {
            assert_eq!(Coding::wanted(&headers(&header::ACCEPT_ENCODING, values)), expected, "{values:?}");
        }
    }
}
