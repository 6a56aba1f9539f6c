//! Hostile and damaged weights files: each ends in an error that says what is wrong, on a small stack, soon.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use sconce::model::import::read_tensors;

/// The smallest stack that a thread of ours has, and an eighth of it.
const STACKS: [usize; 2] = [2 * 1024 * 1024, 256 * 1024];

/// A zip archive as `torch.save` lays it out, with what a liar may change.
#[derive(Default)]
struct Archive {
    content: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
    /// Compression method that entries claim.
    method: u16,
    flags: u16,
}

impl Archive {
    fn of(pickle: &[u8]) -> Self {
        let mut archive = Self::default();
        archive.add("archive/data.pkl", pickle);
        archive
    }

    fn add(&mut self, name: &str, content: &[u8]) {
        let at = u32::try_from(self.content.len()).unwrap();
        let mut common = Vec::new();
        for field in [20, self.flags, self.method, 0, 0] {
            common.extend(u16::to_le_bytes(field));
        }
        common.extend(crc32fast::hash(content).to_le_bytes());
        for _ in 0..2 {
            common.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        }
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        self.content.extend(b"PK\x03\x04");
        self.content.extend(&common);
        self.content.extend(name.as_bytes());
        self.content.extend(content);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(common);
        self.directory.extend([0; 10]);
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.entries += 1;
    }

    fn finish(&self) -> Vec<u8> {
        self.finish_claiming(self.entries, 0)
    }

    /// An end record that claims this many entries, and a directory this much further on.
    fn finish_claiming(&self, entries: u16, further: u32) -> Vec<u8> {
        let mut file = self.content.clone();
        let start = u32::try_from(file.len()).unwrap() + further;
        file.extend(&self.directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend(entries.to_le_bytes());
        file.extend(entries.to_le_bytes());
        file.extend(u32::try_from(self.directory.len()).unwrap().to_le_bytes());
        file.extend(start.to_le_bytes());
        file.extend([0, 0]);
        file
    }
}

/// A pickle between protocol and stop.
fn pickle(program: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02", program.concat().as_slice(), b"."].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", u32::try_from(text.len()).unwrap().to_le_bytes().as_slice(), text.as_bytes()].concat()
}

fn integer(value: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &value.to_le_bytes()].concat()
}

fn tuple(items: &[i64]) -> Vec<u8> {
    [b"(".as_slice(), &items.iter().flat_map(|item| integer(*item)).collect::<Vec<u8>>(), b"t"].concat()
}

/// A state dict of one tensor `w`, in a storage of four floats that claims `length`.
fn tensor(length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let program = pickle(&[
        b"}",
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &integer(length),
        b"tQ",
        &integer(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs",
    ]);
    let mut archive = Archive::of(&program);
    archive.add("archive/data/0", &[0; 16]);
    archive.finish()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    let called = format!("c{module}\n{name}\n");
    Archive::of(&pickle(&[called.as_bytes(), b"(", &text("echo pwned"), b"tR"])).finish()
}

/// Reads `content` as a file on a thread with each stack; both must agree.
fn read(content: &[u8]) -> Result<usize, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let mut results = STACKS.map(|stack| on_stack(file.path(), stack)).into_iter();
    let result = results.next().unwrap();
    assert_eq!(result, results.next().unwrap());
    result
}

fn on_stack(path: &Path, stack: usize) -> Result<usize, String> {
    let path = path.to_owned();
    let reading = move || read_tensors(&path).map(|tensors| tensors.len()).map_err(|error| error.to_string());
    std::thread::Builder::new().stack_size(stack).spawn(reading).unwrap().join().expect("no panic")
}

/// Asserts that each file is refused, soon, with these words.
fn assert_refused(cases: &[(&str, Vec<u8>, &str)]) {
    for (name, content, expected) in cases {
        let begun = Instant::now();
        let error = read(content).expect_err(name);
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.len() < 2000, "{name}: a message of {} bytes", error.len());
        // Milliseconds in truth; this is for what would take minutes or for ever.
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} took {:?}", begun.elapsed());
    }
}

#[test]
fn the_makers_of_hostile_files_make_sound_ones() {
    assert_eq!(read(&tensor(4, 0, &[2, 2], &[2, 1])), Ok(1));
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = 50_000;
    let of = |program: &[&[u8]]| Archive::of(&pickle(program)).finish();
    let dicts = [b"}".as_slice(), &text("state_dict")].concat().repeat(deep / 2);
    assert_refused(&[
        ("tuples", of(&[b")", &b"\x85".repeat(deep)]), "holds no dict"),
        ("marked tuples", of(&[&b"(".repeat(deep), &b"t".repeat(deep)]), "holds no dict"),
        ("lists", of(&[&b"]".repeat(deep), &b"a".repeat(deep - 1)]), "holds no dict"),
        ("dicts", of(&[&dicts, b"N", &b"s".repeat(deep / 2)]), "dicts in dicts"),
        ("a list in itself", of(&[b"]q\0h\0a"]), "holds no dict"),
        ("a dict in itself", of(&[b"}q\0", &text("state_dict"), b"h\0s"]), "dicts in dicts"),
    ]);
}

#[test]
fn bombs_stay_small() {
    let of = |program: &[&[u8]]| Archive::of(&pickle(program)).finish();
    let memos: Vec<u8> =
        (0..800_000_u32).flat_map(|n| [b"r".as_slice(), &n.to_le_bytes()].concat()).collect();
    assert_refused(&[
        ("doubling by memo", of(&[b")q\0", &b"h\0h\0\x86q\0".repeat(64)]), "holds no dict"),
        ("doubling lists", of(&[b"]q\0", &b"](h\0h\0h\0h\0eq\0".repeat(64)]), "holds no dict"),
        ("many memos", of(&[b"N", &memos]), "more than 400000 values"),
        ("many values", of(&[&b"N".repeat(200_000)]), "values on the stack"),
        ("many marks", of(&[&b"(".repeat(200_000)]), "marks"),
        ("many tuples", of(&[&b")0".repeat(10)]), "instruction 0x30"),
        ("appending a list again and again", of(&[b"]", &b"(NNNNNNNNe".repeat(100_000)]), "values"),
        ("a large pickle", of(&[&b"N".repeat(5 * 1024 * 1024)]), "its pickle is over"),
    ]);
}

#[test]
fn lies_about_lengths_are_found_before_anything_is_allocated() {
    let of = |program: &[&[u8]]| Archive::of(&pickle(program)).finish();
    let big = 1_i64 << 40;
    assert_refused(&[
        ("a text of 4 GB", of(&[b"X\xff\xff\xff\xff"]), "a text claims 4294967295 bytes"),
        ("a text beyond the end", of(&[b"X\xff\x03\0\0abc"]), "1023 bytes are claimed"),
        ("an integer of 255 bytes", of(&[b"\x8a\xff", &[1; 255]]), "an integer of 255 bytes"),
        ("a shape of 2^40", tensor(4, 0, &[big], &[1]), "beyond the storage"),
        ("a shape of 2^120", tensor(4, 0, &[big, big, big], &[1, 1, 1]), "beyond the storage"),
        ("a shape of 2^40 in place", tensor(4, 0, &[big], &[0]), "more than a file of"),
        ("a million in place", tensor(4, 0, &[1 << 20], &[0]), "more than a file of"),
        ("a negative shape", tensor(4, 0, &[-4], &[1]), "no number may be negative"),
        ("a negative stride", tensor(4, 3, &[4], &[-1]), "no number may be negative"),
        ("a negative offset", tensor(4, -1, &[4], &[1]), "no number may be negative"),
        ("an offset beyond", tensor(4, 1, &[4], &[1]), "beyond the storage"),
        ("the largest offset", tensor(4, i64::MAX, &[4], &[i64::MAX]), "beyond the storage"),
        ("a storage of 2^40", tensor(big, 0, &[4], &[1]), "has 16 bytes"),
        ("a negative storage", tensor(-4, 0, &[4], &[1]), "negative length"),
        ("nine dimensions", tensor(4, 0, &[1; 9], &[1; 9]), "dimensions"),
        ("strides of another rank", tensor(4, 0, &[4], &[1, 1]), "1 dimensions and 2 strides"),
    ]);
}

#[test]
fn code_is_refused_by_name() {
    let cases = [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__main__", "LSTMModel"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch", "load"),
    ];
    let cases: Vec<_> =
        cases.map(|(module, name)| (name, global(module, name), format!("{module}.{name}"))).into();
    for (name, content, named) in &cases {
        assert_refused(&[
            (*name, content.clone(), "would run code"),
            (*name, content.clone(), named.as_str()),
            (*name, content.clone(), "torch.save(model.state_dict()"),
        ]);
    }
}

#[test]
fn archives_that_torch_never_writes_are_refused() {
    let sound = pickle(&[b"}"]);
    let spoilt = |spoil: fn(&mut Archive)| {
        let mut archive = Archive::default();
        spoil(&mut archive);
        archive.add("archive/data.pkl", &pickle(&[b"}"]));
        archive.finish()
    };
    let named = |name: &str| {
        let mut archive = Archive::of(&sound);
        archive.add(name, b"");
        archive.finish()
    };
    let mut elsewhere = Archive::of(&sound).finish();
    let inside = elsewhere.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    elsewhere[inside + 42] = 200;
    assert_refused(&[
        ("deflated", spoilt(|archive| archive.method = 8), "is compressed"),
        ("encrypted", spoilt(|archive| archive.flags = 1), "is encrypted"),
        ("the same name twice", named("archive/data.pkl"), "two entries named"),
        ("out of its folder", named("archive/../../etc/passwd"), "an entry is named"),
        ("an absolute name", named("/etc/passwd"), "an entry is named"),
        ("a name of Windows", named("archive\\data\\0"), "an entry is named"),
        ("two pickles", named("other/data.pkl"), "more than one data.pkl"),
        ("TorchScript", named("archive/constants.pkl"), "TorchScript"),
        (
            "no pickle",
            {
                let mut none = Archive::default();
                none.add("a", b"");
                none.finish()
            },
            "without data.pkl",
        ),
        ("too many entries claimed", Archive::of(&sound).finish_claiming(60_000, 0), "60000 entries"),
        ("more entries than there are", Archive::of(&sound).finish_claiming(2, 0), "cut short"),
        ("a directory elsewhere", Archive::of(&sound).finish_claiming(1, 9), "no sound zip archive"),
        ("a directory beyond", Archive::of(&sound).finish_claiming(1, u32::MAX / 2), "beyond the file"),
        ("an entry elsewhere", elsewhere, "no sound zip archive"),
    ]);
}

#[test]
fn what_is_no_state_dict_is_refused_with_what_to_do() {
    let header = |claimed: u64, rest: &[u8]| [claimed.to_le_bytes().as_slice(), rest].concat();
    let entry = |value: &[u8]| Archive::of(&pickle(&[b"}", &text("epoch"), value, b"s"])).finish();
    assert_refused(&[
        ("nothing", vec![], "neither a zip archive"),
        ("one byte", vec![b'P'], "neither a zip archive"),
        ("noise", vec![7; 4096], "neither a zip archive"),
        ("the format before 1.6", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "before PyTorch 1.6"),
        ("a dict without tensors", entry(b"K\x05"), "has no tensors at its top"),
        ("a number", Archive::of(&pickle(&[b"K\x05"])).finish(), "holds no dict"),
        ("no end", Archive::of(b"\x80\x02}").finish(), "its pickle, at byte 3"),
        ("a safetensors header of 2^60", header(1 << 60, b"{}"), "claims 1152921504606846976 bytes"),
        ("a safetensors header beyond the file", header(1000, b"{}"), "no whole safetensors file"),
        (
            "a safetensors tensor beyond the file",
            {
                let json =
                    br#"{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
                header(json.len() as u64, json)
            },
            "no whole safetensors file",
        ),
    ]);
    let folder = tempfile::tempdir().unwrap();
    assert!(read_tensors(folder.path()).unwrap_err().0.contains("is not a file"));
    assert!(read_tensors(&folder.path().join("none")).unwrap_err().0.contains("cannot be read"));
}

/// A file that `torch.save` wrote.
fn saved() -> Vec<u8> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/lstm-last-1.pt");
    std::fs::read(fixture).unwrap()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let content = saved();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    let whole = read_tensors(file.path()).unwrap();
    assert_eq!(whole.len(), 7);
    for length in (0..content.len()).rev() {
        file.as_file().set_len(length as u64).unwrap();
        assert!(read_tensors(file.path()).is_err(), "cut after {length} bytes");
    }
}

/// Replaces a file's content; much faster than making a new one each time.
fn rewrite(mut file: &File, content: &[u8]) {
    file.rewind().unwrap();
    file.write_all(content).unwrap();
    file.set_len(content.len() as u64).unwrap();
}

#[test]
fn a_byte_flipped_anywhere_is_found_or_changes_nothing() {
    let mut content = saved();
    let file = tempfile::NamedTempFile::new().unwrap();
    rewrite(file.as_file(), &content);
    let whole = read_tensors(file.path()).unwrap();
    for index in 0..content.len() {
        content[index] ^= 0x21;
        rewrite(file.as_file(), &content);
        if let Ok(read) = read_tensors(file.path()) {
            assert_eq!(read, whole, "byte {index}");
        }
        content[index] ^= 0x21;
    }
}

#[test]
fn a_pickle_with_any_byte_changed_ends_in_an_answer() {
    let sound = tensor(4, 0, &[2, 2], &[2, 1]);
    let start = sound.windows(2).position(|window| window == b"\x80\x02").unwrap();
    let end = sound.windows(4).rposition(|window| window == b"PK\x03\x04").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    for index in start..end {
        for value in [0, 1, 0x28, 0x2e, 0x52, 0x65, 0x71, 0x7f, 0x80, 0x85, 0xff] {
            let mut program = sound[start..end].to_vec();
            program[index - start] = value;
            let mut archive = Archive::of(&program);
            archive.add("archive/data/0", &[0; 16]);
            rewrite(file.as_file(), &archive.finish());
            if let Ok(tensors) = read_tensors(file.path()) {
                assert!(tensors.values().all(|tensor| tensor.values.len() <= 4), "byte {index}");
            }
        }
    }
}
