//! Which pages of other origins may ask the server: `http.cors_origins`.

use axum::http::Uri;

use super::Key;
use super::reader::Reader;
use crate::http;

/// `off`, `*`, or origins with commas between them.
pub(super) fn cors(reader: &mut Reader, key: &Key) -> http::Cors {
    let origin = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        let bare =
            uri.scheme().is_some() && uri.authority().is_some() && !text.ends_with('/') && uri.path() == "/";
        if bare && uri.query().is_none() { text.parse().ok() } else { None }
    };
    let parse = |text: &str| match text {
        "off" => Some(http::Cors::Off),
        "*" => Some(http::Cors::Any),
        _ => text.split(',').map(|part| origin(part.trim())).collect::<Option<_>>().map(http::Cors::Origins),
    };
    let expected = "\"off\", \"*\", or origins such as \"https://example.org, http://localhost:3000\"";
    reader.text(key, expected, parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::config::{Sources, read};
    use crate::http::Cors;

    fn said(text: &str) -> Result<Cors, String> {
        let environment = vec![("SCONCE_HTTP__CORS_ORIGINS".into(), text.into())];
        let read = read(&Sources { environment, ..Sources::default() });
        read.map(|read| read.settings.http.config.cors).map_err(|error| error.to_string())
    }

    #[test]
    fn origins_are_a_scheme_and_a_host_and_nothing_more() {
        assert_eq!(said("off"), Ok(Cors::Off));
        assert_eq!(said("*"), Ok(Cors::Any));
        let two = ["https://example.org", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
        assert_eq!(said("https://example.org, http://localhost:3000"), Ok(Cors::Origins(two.into())));
        for wrong in [
            "example.org",
            "https://example.org/",
            "https://example.org/a",
            "https://a?b",
            "*, *",
            "https://a,",
        ] {
            assert!(said(wrong).unwrap_err().contains("http.cors_origins"), "{wrong}");
        }
    }
}
