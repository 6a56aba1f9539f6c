//! Reading a TOML file into keys, each with the line it stands on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{DEFAULTS, Key, Origin, Problem, Said, Value};
use crate::limits::CONFIG_BYTES_MAX;

/// What the compiled-in file says.
pub(super) fn defaults() -> BTreeMap<Key, Said> {
    // A test reads every key of the file, so it is never empty here.
    let mut said = parse(Path::new("config/sconce.toml"), DEFAULTS).unwrap_or_default();
    for said in said.values_mut() {
        said.origin = Origin::Default;
    }
    said
}

/// What the file says.
///
/// # Errors
/// It cannot be read, or is not TOML: each place where it is not.
pub(super) fn read(path: &Path) -> Result<BTreeMap<Key, Said>, Vec<Problem>> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(vec![Problem::unreadable(path, error)]),
        Ok(bytes) if bytes as u64 > CONFIG_BYTES_MAX => {
            Err(vec![Problem::unreadable(path, format!("longer than {CONFIG_BYTES_MAX} bytes"))])
        }
        Ok(_) => parse(path, &text),
    }
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<Key, Said>, Vec<Problem>> {
    let (places, errors) = DeTable::parse_recoverable(text);
    let syntax = |error: &toml::de::Error| Problem::Syntax {
        path: path.to_owned(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        reason: error.message().lines().collect::<Vec<_>>().join("; "),
    };
    if !errors.is_empty() {
        return Err(errors.iter().map(syntax).collect());
    }
    let values = toml::from_str::<toml::Table>(text).map_err(|error| vec![syntax(&error)])?;
    let mut said = BTreeMap::new();
    let root = Key::new(Vec::<String>::new());
    Walk { path, text, said: &mut said }.table(&root, places.get_ref(), &values);
    Ok(said)
}

/// The line of this byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

/// Goes through the places and the values of one document side by side.
struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    said: &'a mut BTreeMap<Key, Said>,
}

impl Walk<'_> {
    fn table(&mut self, table: &Key, places: &DeTable<'_>, values: &toml::Table) {
        for (name, place) in places {
            let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
            let key = table.child(name.get_ref());
            match (place.get_ref(), value) {
                (DeValue::Table(places), toml::Value::Table(values)) if !values.is_empty() => {
                    self.table(&key, places, values);
                }
                _ => {
                    let line = line(self.text, name.span().start);
                    let origin = Origin::File { path: self.path.to_owned(), line };
                    self.said.insert(key, Said { value: Value::Toml(value.clone()), origin });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_knows_its_line() {
        let text = "[http]\nport = 1\n\n[model.\"a.b\"]\ndevice = \"cpu\"\n[empty]\n";
        let said = parse(Path::new("x.toml"), text).unwrap();
        let places: Vec<_> =
            said.iter().map(|(key, said)| format!("{key} = {} {}", said.value, said.origin)).collect();
        assert_eq!(
            places,
            ["empty = {} x.toml:6", "http.port = 1 x.toml:2", "model.\"a.b\".device = \"cpu\" x.toml:5"]
        );
    }

    #[test]
    fn every_syntax_error_is_named_with_its_line() {
        let problems =
            parse(Path::new("x.toml"), "[http]\nport = \nhost = \"a\nbody = 1\nbody = 2\n").unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(lines.len() >= 2, "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("x.toml:2: ")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("x.toml:3: ")), "{lines:?}");
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.toml");
        std::fs::write(&path, "#".repeat(usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1)).unwrap();
        assert!(read(&path).unwrap_err()[0].to_string().contains("longer than"));
        assert!(read(&folder.path().join("none.toml")).unwrap_err()[0].to_string().contains("none.toml"));
    }
}
