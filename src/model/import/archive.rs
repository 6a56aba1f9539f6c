//! A zip archive as `torch.save` writes it: entries stored as they are, never compressed.
//!
//! A reader of our own, because it must believe no count and no size before it is held against the file's length.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::{ImportError, SAVE_A_STATE_DICT};
use crate::limits;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
/// Bytes of the end record without its comment, and the longest comment.
const END_BYTES: u64 = 22;
const COMMENT_BYTES_MAX: u64 = 0xffff;

/// An open archive: its directory read and checked, its entries not yet.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its local header is.
    header: u64,
    bytes: u64,
    checksum: u32,
    /// Where the directory begins: entries end before it.
    limit: u64,
}

impl Archive {
    /// Reads and checks the directory of an archive of this length.
    pub(super) fn open(mut file: File, length: u64) -> Result<Self, ImportError> {
        let (start, bytes, count) = find_directory(&mut file, length)?;
        if count > limits::ARCHIVE_ENTRIES_MAX as u64 || bytes > limits::ARCHIVE_DIRECTORY_BYTES_MAX {
            let most = limits::ARCHIVE_ENTRIES_MAX;
            return Err(damaged(format!(
                "its directory claims {count} entries in {bytes} bytes, at most {most}"
            )));
        }
        let directory = read_at(&mut file, start, bytes, length)?;
        let mut rest = Fields(&directory);
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry) = read_entry(&mut rest, start)?;
            check_name(&name)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(damaged(format!("it has two entries named {name:?}")));
            }
        }
        // Entries that overlap would be read again and again.
        let claimed = entries.values().fold(0_u64, |sum, entry: &Entry| sum.saturating_add(entry.bytes));
        if claimed > start {
            return Err(damaged(format!("its entries claim {claimed} bytes of {start}")));
        }
        Ok(Self { file, entries })
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Bytes of an entry, as the directory has it; within the file.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.bytes)
    }

    /// An entry's content, its checksum right.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, ImportError> {
        let entry = *self.entries.get(name).ok_or_else(|| damaged(format!("it has no entry {name:?}")))?;
        let header = read_at(&mut self.file, entry.header, 30, entry.limit)?;
        let mut fields = Fields(&header);
        if fields.u32()? != LOCAL {
            return Err(damaged(format!("entry {name:?} is not where its directory says")));
        }
        fields.skip(22)?;
        let (name_bytes, extra_bytes) = (u64::from(fields.u16()?), u64::from(fields.u16()?));
        let named = read_at(&mut self.file, entry.header + 30, name_bytes, entry.limit)?;
        if named != name.as_bytes() {
            return Err(damaged(format!(
                "entry {name:?} has another name at its place than in the directory"
            )));
        }
        let start = entry.header + 30 + name_bytes + extra_bytes;
        let content = read_at(&mut self.file, start, entry.bytes, entry.limit)?;
        if crc32fast::hash(&content) != entry.checksum {
            return Err(damaged(format!("the checksum of entry {name:?} is wrong")));
        }
        Ok(content)
    }
}

fn damaged(problem: impl std::fmt::Display) -> ImportError {
    ImportError(format!("is no sound zip archive of torch.save: {problem}"))
}

/// `bytes` bytes from `start`, which must end by `limit`; nothing is allocated before that is known.
fn read_at(file: &mut File, start: u64, bytes: u64, limit: u64) -> Result<Vec<u8>, ImportError> {
    if start.checked_add(bytes).is_none_or(|end| end > limit) {
        return Err(damaged(format!("{bytes} bytes at {start} reach beyond byte {limit}")));
    }
    let unreadable = |error: std::io::Error| ImportError(format!("cannot be read: {error}"));
    file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let mut content = vec![0; usize::try_from(bytes).map_err(|_| damaged("an entry is too large"))?];
    file.read_exact(&mut content).map_err(unreadable)?;
    Ok(content)
}

/// Where the directory begins, its bytes and its entries, by the record at the archive's end.
fn find_directory(file: &mut File, length: u64) -> Result<(u64, u64, u64), ImportError> {
    let tail_start = length.saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
    let tail = read_at(file, tail_start, length - tail_start, length)?;
    let found = tail.windows(4).rposition(|window| window == END.to_le_bytes());
    let found = found.ok_or_else(|| damaged("its end is missing: the file is cut short"))?;
    let mut end = Fields(tail.get(found + 4..).unwrap_or_default());
    end.skip(6)?;
    let (count, bytes, start) = (u64::from(end.u16()?), u64::from(end.u32()?), u64::from(end.u32()?));
    let position = tail_start + found as u64;
    if position + END_BYTES + u64::from(end.u16()?) != length {
        return Err(damaged("its end is not the file's end"));
    }
    let (start, bytes, count) = match position.checked_sub(20) {
        None => (start, bytes, count),
        Some(locator) => {
            let locator = read_at(file, locator, 20, length)?;
            let mut locator = Fields(&locator);
            if locator.u32()? == END_64_LOCATOR {
                locator.skip(4)?;
                let record = read_at(file, locator.u64()?, 56, position)?;
                let mut record = Fields(&record);
                if record.u32()? != END_64 {
                    return Err(damaged("its 64-bit end record is not where it should be"));
                }
                record.skip(28)?;
                let (count, bytes) = (record.u64()?, record.u64()?);
                (record.u64()?, bytes, count)
            } else {
                (start, bytes, count)
            }
        }
    };
    if start.checked_add(bytes).is_none_or(|end| end > position) {
        return Err(damaged("its directory reaches beyond the file"));
    }
    Ok((start, bytes, count))
}

/// One entry of the directory.
fn read_entry(fields: &mut Fields<'_>, limit: u64) -> Result<(String, Entry), ImportError> {
    if fields.u32()? != CENTRAL {
        return Err(damaged("its directory is damaged"));
    }
    fields.skip(4)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.skip(4)?;
    let checksum = fields.u32()?;
    let (mut stored, mut bytes) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (name_bytes, extra_bytes, comment_bytes) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.skip(8)?;
    let mut header = u64::from(fields.u32()?);
    let name = fields.take(name_bytes.into())?;
    let mut extra = Fields(fields.take(extra_bytes.into())?);
    fields.skip(comment_bytes.into())?;
    while extra.0.len() >= 4 {
        let (kind, size) = (extra.u16()?, extra.u16()?);
        let mut field = Fields(extra.take(size.into())?);
        if kind == 1 {
            // The 64-bit values stand here for those that do not fit, in this order.
            for value in [&mut bytes, &mut stored, &mut header] {
                if *value == u64::from(u32::MAX) {
                    *value = field.u64()?;
                }
            }
        }
    }
    let name = String::from_utf8(name.to_vec()).map_err(|_| damaged("an entry's name is not UTF-8"))?;
    if flags & 1 != 0 {
        return Err(damaged(format!("entry {name:?} is encrypted")));
    }
    if method != 0 || stored != bytes {
        return Err(damaged(format!(
            "entry {name:?} is compressed, which torch.save never does; {SAVE_A_STATE_DICT}"
        )));
    }
    if header.checked_add(bytes).is_none_or(|end| end > limit) {
        return Err(damaged(format!("entry {name:?} claims {bytes} bytes, which reach beyond the file")));
    }
    Ok((name, Entry { header, bytes, checksum, limit }))
}

/// Entries are never written to a disk, but a name that would leave its folder is a sign of malice.
fn check_name(name: &str) -> Result<(), ImportError> {
    let leaves =
        name.split('/').any(|part| part == "..") || name.starts_with('/') || name.contains(['\\', '\0']);
    if leaves || name.is_empty() {
        return Err(damaged(format!("an entry is named {name:?}")));
    }
    Ok(())
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], ImportError> {
        let (field, rest) = self.0.split_at_checked(bytes).ok_or_else(|| damaged("a record is cut short"))?;
        self.0 = rest;
        Ok(field)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ImportError> {
        self.take(bytes).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.take(N)?.try_into().map_err(|_| damaged("a record is cut short"))
    }

    fn u16(&mut self) -> Result<u16, ImportError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ImportError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ImportError> {
        self.array().map(u64::from_le_bytes)
    }
}
