//! Pictures: a folder a class, or a `.csv` of `path,label` with paths relative to the file.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Collector, DataError, Source, entries, read_file, table};

/// Reads a folder of folders, one a class; classes and files in the order of their names.
pub(super) fn folder(root: &Path, collector: &mut Collector) -> Result<(), DataError> {
    for class in entries(root)? {
        let Some(label) = class.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            collector.bad(class.display().to_string(), "the folder's name is not UTF-8")?;
            continue;
        };
        if !class.is_dir() {
            collector.bad(class.display().to_string(), "a file outside of any class folder")?;
            continue;
        }
        for file in entries(&class)? {
            if file.is_dir() {
                collector.bad(file.display().to_string(), "a folder inside a class folder")?;
            } else {
                picture(&file, vec![label.clone()], collector)?;
            }
        }
    }
    Ok(())
}

/// Reads a `.csv` with the columns `path` and `label`.
pub(super) fn table(path: &Path, collector: &mut Collector) -> Result<(), DataError> {
    if table::extension(path) != "csv" {
        let problem = "expected a folder with a folder of pictures a class, or a .csv of path,label";
        return Err(DataError::unusable(path, problem));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    table::csv(path, "path", collector, &mut |collector, named, labels, place| {
        let file = folder.join(&named);
        if named.trim().is_empty() {
            collector.bad(place, "the path is empty")
        } else if file.is_file() {
            picture(&file, labels, collector)
        } else {
            collector.bad(place, format!("there is no file {}", file.display()))
        }
    })
}

fn picture(file: &Path, labels: Vec<String>, collector: &mut Collector) -> Result<(), DataError> {
    let place = file.display().to_string();
    match read_file(file) {
        Ok(bytes) => {
            let digest: [u8; 32] = Sha256::digest(&bytes).into();
            collector.digest.update(place_in_class(file).as_bytes());
            collector.digest.update(digest);
            collector.good(Source::Picture(file.to_owned(), digest), labels, place)
        }
        Err(DataError::Unusable { problem, .. } | DataError::BadRow { problem, .. }) => {
            collector.bad(place, problem)
        }
    }
}

/// `class/file`, so that the digest of a data set does not depend on where it lies.
fn place_in_class(file: &Path) -> String {
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    format!("{}/{}\n", name(file.parent()), name(Some(file)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{BadRows, Reading, Row, read};
    use crate::value::{Objective, Task};

    const READING: Reading = Reading {
        task: Task::ImageClassification,
        objective: Objective::MultiClass,
        bad_rows: BadRows::Stop,
    };

    fn with_pictures() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (class, file) in [("dog", "b.png"), ("cat", "z.png"), ("cat", "a.png"), (".git", "x.png")] {
            fs::create_dir_all(folder.path().join(class)).unwrap();
            fs::write(folder.path().join(class).join(file), format!("{class}{file}")).unwrap();
        }
        folder
    }

    fn summary(rows: &[Row]) -> Vec<String> {
        rows.iter()
            .map(|row| {
                let file = row.place.rsplit('/').next().unwrap();
                format!("{} {file}", row.labels[0])
            })
            .collect()
    }

    #[test]
    fn a_folder_a_class_is_read_in_the_order_of_names() {
        let folder = with_pictures();
        let read = read(folder.path(), READING).unwrap();
        assert_eq!(summary(&read.rows), ["cat a.png", "cat z.png", "dog b.png"]);
    }

    #[test]
    fn a_table_of_paths_is_read_relative_to_itself() {
        let folder = with_pictures();
        let path = folder.path().join("rows.csv");
        fs::write(&path, "path,label\ndog/b.png,hund\n").unwrap();
        assert_eq!(summary(&read(&path, READING).unwrap().rows), ["hund b.png"]);
        fs::write(&path, "path,label\ndog/b.png,hund\ndog/no.png,hund\n").unwrap();
        let error = read(&path, READING).unwrap_err().to_string();
        assert!(error.contains("rows.csv:3: there is no file"), "{error}");
    }

    #[test]
    fn the_digest_follows_the_pictures() {
        let folder = with_pictures();
        let before = read(folder.path(), READING).unwrap().sha256;
        assert_eq!(read(folder.path(), READING).unwrap().sha256, before);
        fs::write(folder.path().join("dog/b.png"), "other").unwrap();
        assert_ne!(read(folder.path(), READING).unwrap().sha256, before);
    }

    #[test]
    fn a_stray_file_is_a_bad_row() {
        let folder = with_pictures();
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        let error = read(folder.path(), READING).unwrap_err().to_string();
        assert!(error.contains("notes.txt: a file outside of any class folder"), "{error}");
        let skipping = Reading { bad_rows: BadRows::Skip, ..READING };
        assert_eq!(read(folder.path(), skipping).unwrap().skipped, 1);
    }
}
