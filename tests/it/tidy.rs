//! The house rules that a compiler does not know: floors, file sizes, first lines, and paths that documents name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A module imports only from lower floors; neighbours do not know each other.
const FLOORS: [&[&str]; 10] = [
    &["limits", "telemetry", "kernels"],
    &["image", "name", "text", "value"],
    &["batch", "nn", "registry"],
    &["engine"],
    &["model"],
    &["pipeline"],
    &["bench", "http", "train"],
    &["config"],
    &["app"],
    &["cli"],
];

const LINES_MAX: usize = 400;

/// A file may be longer when its first lines say why, after these words.
const LONG_FOR_A_REASON: &str = "Longer than 400 lines:";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `folder` with this extension, with its text.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// `src/http/router.rs` belongs to `http`.
fn module(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules that a text names after `crate::`, alone or in a group.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(group.split('}').next().unwrap().split(',').map(|name| word(name.trim())));
        } else {
            found.insert(word(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_point_down_the_floors() {
    let floor_of: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, modules)| modules.iter().map(move |module| (*module, floor)))
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        let own = module(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let floor = floor_of.get(own.as_str()).unwrap_or_else(|| panic!("{own} is on no floor"));
        for other in imports(&text).into_iter().filter(|other| *other != own) {
            match floor_of.get(other.as_str()) {
                Some(lower) if lower < floor => {}
                Some(_) => wrong.push(format!("{}: {own} may not import {other}", path.display())),
                None => wrong.push(format!("{}: crate::{other} is on no floor", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "imports must point to lower floors:\n{}", wrong.join("\n"));
}

#[test]
fn the_import_reader_sees_groups_and_paths_and_not_comments() {
    let text = "use crate::{http, nn::Network};\nlet x = crate::engine::run();\n// crate::comment\n";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["engine", "http", "nn"]);
}

#[test]
fn every_module_is_on_a_floor_and_declared() {
    let declared = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (path, _) in files("src", "rs") {
        let own = module(&path);
        if own != "lib" && own != "main" {
            assert!(declared.contains(&format!("pub mod {own};")), "{own} is not declared in src/lib.rs");
        }
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in files(folder, "rs") {
            let first = text.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("//! ") || first.starts_with("#![doc"),
                "{} does not open with //!",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_short_or_say_why_not() {
    for (path, text) in files("src", "rs") {
        let lines = text.lines().count();
        let reason = text.lines().take(12).any(|line| line.contains(LONG_FOR_A_REASON));
        assert!(lines <= LINES_MAX || reason, "{} has {lines} lines, at most {LINES_MAX}", path.display());
    }
}

#[test]
fn main_has_no_logic() {
    let main = fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 40);
}

#[test]
fn nothing_is_left_to_be_done() {
    for (path, text) in files("src", "rs") {
        for left in ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"] {
            assert!(!text.contains(left), "{} still says {left}", path.display());
        }
    }
}

#[test]
fn unsafe_code_is_nowhere_outside_kernels() {
    for (path, text) in files("src", "rs") {
        let used = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(!used || module(&path) == "kernels", "{} has unsafe code", path.display());
    }
}

/// Words in back ticks that look like a path of this repository: with a slash, or one of the files at its root.
fn named_paths(text: &str) -> Vec<String> {
    let prefixes =
        ["src/", "tests/", "config/", "models/", "benches/", "docs/", "deploy/", "examples/", ".ci/"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .filter(|word| !word.contains(['<', '*', ' ', '{', '…', '$']) && !word.contains("NAME"))
        .map(|word| word.trim_end_matches('/').to_owned())
        .collect()
}

#[test]
fn every_path_a_document_names_exists() {
    let mut documents = files("docs", "md");
    for name in ["README.md", "CHANGELOG.md", "src/README.md"] {
        documents.push((PathBuf::from(name), fs::read_to_string(root().join(name)).unwrap()));
    }
    for (document, text) in documents {
        for path in named_paths(&text) {
            assert!(root().join(&path).exists(), "{} names {path}, which is not there", document.display());
        }
    }
}

#[test]
fn the_path_reader_sees_paths() {
    assert_eq!(named_paths("see `src/nn.rs` and `models/<name>` and `x/y`"), ["src/nn.rs"]);
}
