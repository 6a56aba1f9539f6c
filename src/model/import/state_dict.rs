//! A `state_dict` in an archive of `torch.save`: which tensors it has, and their values.

use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;

use super::archive::Archive;
use super::pickle::{Storage, Tensor, Unpickled, Value, unpickle};
use super::tensors::{View, to_f32};
use super::{ImportError, RawTensor, SAVE_A_STATE_DICT};
use crate::limits;

/// Where checkpoints keep their weights, most telling first.
const NESTED: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
/// Dicts within dicts that are looked through.
const DEPTH_MAX: usize = 4;

/// Reads the tensors of an archive of this length.
pub(super) fn read(file: File, bytes: u64) -> Result<BTreeMap<String, RawTensor>, ImportError> {
    let mut archive = Archive::open(file, bytes)?;
    let folder = folder(&archive)?;
    let pickle = format!("{folder}data.pkl");
    if archive.size(&pickle).unwrap_or(0) > limits::PICKLE_BYTES_MAX {
        let most = limits::PICKLE_BYTES_MAX;
        return Err(ImportError(format!("its pickle is over {most} bytes, more than names and shapes need")));
    }
    let order = format!("{folder}byteorder");
    if archive.size(&order).is_some_and(|size| size < 64) && archive.read(&order)? != b"little" {
        return Err(ImportError(format!(
            "was saved on a big-endian machine; {SAVE_A_STATE_DICT} on another"
        )));
    }
    let unpickled = unpickle(&archive.read(&pickle)?)?;
    let tensors = named_tensors(&unpickled)?;
    materialise(&mut archive, &folder, &tensors, bytes)
}

/// The folder that `data.pkl` is in, with its slash.
fn folder(archive: &Archive) -> Result<String, ImportError> {
    if archive.names().any(|name| name.ends_with("/constants.pkl")) {
        return Err(ImportError(format!(
            "is a TorchScript program; load it in Python and {SAVE_A_STATE_DICT}"
        )));
    }
    let folders = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut folders = folders.filter(|folder| folder.is_empty() || folder.ends_with('/'));
    match (folders.next(), folders.next()) {
        (Some(folder), None) => Ok(folder.to_owned()),
        (None, _) => Err(ImportError(format!("is a zip archive without data.pkl; {SAVE_A_STATE_DICT}"))),
        (Some(_), Some(_)) => Err(ImportError::new("is a zip archive with more than one data.pkl")),
    }
}

/// The tensors of the state dict, by name, wherever in the result it lies.
fn named_tensors(unpickled: &Unpickled) -> Result<Vec<(String, Rc<Tensor>)>, ImportError> {
    let mut value = &unpickled.result;
    for _ in 0..DEPTH_MAX {
        let Value::Dict(number) = value else {
            return Err(ImportError(format!("holds no dict of tensors; {SAVE_A_STATE_DICT}")));
        };
        let entries = unpickled.dict(*number);
        if entries.iter().any(|(_, value)| matches!(value, Value::Tensor(_))) {
            return state_dict(entries);
        }
        let under =
            |key: &str| entries.iter().find(|(name, value)| is(name, key) && matches!(value, Value::Dict(_)));
        let Some((_, nested)) = NESTED.iter().find_map(|key| under(key)) else {
            let names = entries.iter().filter_map(|(name, _)| text(name));
            let names: Vec<String> = names.take(20).map(|name| name.chars().take(40).collect()).collect();
            return Err(ImportError(format!(
                "has no tensors at its top, and none of {NESTED:?} under it (it has {names:?}); {SAVE_A_STATE_DICT}"
            )));
        };
        value = nested;
    }
    Err(ImportError(format!("has dicts in dicts, deeper than {DEPTH_MAX}; {SAVE_A_STATE_DICT}")))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn is(value: &Value, expected: &str) -> bool {
    text(value) == Some(expected)
}

fn state_dict(entries: &[(Value, Value)]) -> Result<Vec<(String, Rc<Tensor>)>, ImportError> {
    if entries.len() > limits::TENSORS_MAX {
        return Err(ImportError(format!(
            "has {} tensors, at most {} are taken",
            entries.len(),
            limits::TENSORS_MAX
        )));
    }
    let mut tensors = BTreeMap::new();
    for (name, value) in entries {
        let Some(name) = text(name) else {
            return Err(ImportError::new("a tensor's name is no text"));
        };
        let Value::Tensor(tensor) = value else {
            return Err(ImportError(format!("its entry {name:?} is no tensor; {SAVE_A_STATE_DICT}")));
        };
        if tensors.insert(name.to_owned(), Rc::clone(tensor)).is_some() {
            return Err(ImportError(format!("has two tensors named {name:?}")));
        }
    }
    Ok(tensors.into_iter().collect())
}

/// A storage, and the tensors in it.
type Shared<'a> = (Rc<Storage>, Vec<(&'a str, View)>);

/// Reads the values: every claim is held against its storage, and all tensors together against the file, first.
fn materialise(
    archive: &mut Archive,
    folder: &str,
    tensors: &[(String, Rc<Tensor>)],
    bytes: u64,
) -> Result<BTreeMap<String, RawTensor>, ImportError> {
    // The smallest weights that are common have two bytes, so f32 values take at most twice the file.
    let values_max = bytes / 2;
    let mut values = 0_u64;
    let mut by_storage: BTreeMap<&str, Shared<'_>> = BTreeMap::new();
    for (name, tensor) in tensors {
        let of = |error: ImportError| ImportError(format!("tensor {name:?} {error}"));
        check_storage(archive, folder, &tensor.storage).map_err(of)?;
        let view =
            View::new(tensor.offset, &tensor.shape, &tensor.strides, tensor.storage.length).map_err(of)?;
        values = values.saturating_add(view.count() as u64);
        let most = values.max(tensor.storage.length as u64);
        if most > values_max {
            return Err(of(ImportError(format!(
                "and those before it claim {most} values, more than a file of {bytes} bytes should hold; store \
                 weights as 16-bit or 32-bit floats"
            ))));
        }
        let storage = &tensor.storage;
        let (known, views) =
            by_storage.entry(storage.key.as_str()).or_insert_with(|| (Rc::clone(storage), Vec::new()));
        if **known != **storage {
            return Err(of(ImportError::new("shares a storage that is described in two ways")));
        }
        views.push((name.as_str(), view));
    }
    let mut read = BTreeMap::new();
    for (key, (storage, views)) in by_storage {
        let content = archive.read(&format!("{folder}data/{key}"))?;
        let storage = to_f32(&content, storage.element);
        drop(content);
        for (name, view) in views {
            let tensor =
                view.read(&storage).map_err(|error| ImportError(format!("tensor {name:?}: {error}")))?;
            read.insert(name.to_owned(), tensor);
        }
    }
    Ok(read)
}

fn check_storage(archive: &Archive, folder: &str, storage: &Storage) -> Result<(), ImportError> {
    let entry = format!("{folder}data/{}", storage.key);
    let Some(size) = archive.size(&entry) else {
        return Err(ImportError(format!("is in entry {entry:?}, which is not there")));
    };
    let claimed = (storage.length as u64).checked_mul(storage.element.bytes() as u64);
    if claimed.is_none_or(|claimed| claimed != size) {
        return Err(ImportError(format!(
            "is in a storage of {} values of {:?}, but entry {entry:?} has {size} bytes",
            storage.length, storage.element
        )));
    }
    Ok(())
}
