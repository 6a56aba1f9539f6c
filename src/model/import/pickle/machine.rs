//! The machine that a pickle is a program for: a stack, a memo, and the containers made so far.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Value;
use crate::limits;
use crate::model::import::{ImportError, SAVE_A_STATE_DICT};

#[derive(Debug, Default)]
pub(super) struct Machine<'a> {
    pub(super) rest: &'a [u8],
    pub(super) length: usize,
    pub(super) stack: Vec<Value>,
    /// Stack heights at which marks were set.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
    pub(super) sequences: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    /// Containers, texts and memo entries made, and container items.
    made: usize,
}

pub(super) fn error<T>(problem: impl Into<String>) -> Result<T, ImportError> {
    Err(ImportError(problem.into()))
}

impl<'a> Machine<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self { rest: content, length: content.len(), ..Self::default() }
    }

    /// Runs one instruction; the pickle's result, if it was the last.
    pub(super) fn step(&mut self) -> Result<Option<Value>, ImportError> {
        let [instruction] = self.array()?;
        match instruction {
            b'.' => return self.pop().map(Some),
            0x80 => match self.array()? {
                [2..=5] => {}
                [version] => return error(format!("protocol {version}, expected 2; {SAVE_A_STATE_DICT}")),
            },
            b'(' => {
                self.bounded(self.marks.len() + 1, limits::PICKLE_STACK_MAX, "marks")?;
                self.marks.push(self.stack.len());
            }
            b'c' => {
                let global = self.global()?;
                self.push(global)?;
            }
            b'q' => {
                let [index] = self.array()?;
                self.memoize(u32::from(index))?;
            }
            b'h' => {
                let [index] = self.array()?;
                self.recall(u32::from(index))?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?);
                self.memoize(index)?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | b'G' | b'X' => self.literal(instruction)?,
            b')' | b']' | b't' | 0x85..=0x87 | b'a' | b'e' | b'}' | b's' | b'u' => {
                self.collect(instruction)?;
            }
            other => {
                return error(format!(
                    "instruction {other:#04x} is none that torch.save writes for a state_dict; {SAVE_A_STATE_DICT}"
                ));
            }
        }
        Ok(None)
    }

    /// Pushes a value that stands in the pickle itself.
    fn literal(&mut self, instruction: u8) -> Result<(), ImportError> {
        let value = match instruction {
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.array()?))),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            0x8a => Value::Int(self.long()?),
            b'X' => Value::Text(self.text()?),
            b'G' => {
                self.take(8)?;
                Value::Float
            }
            0x88 | 0x89 => Value::Bool,
            _ => Value::None,
        };
        self.push(value)
    }

    /// Makes a tuple, list or dict, or puts values into one.
    fn collect(&mut self, instruction: u8) -> Result<(), ImportError> {
        match instruction {
            b')' | b']' => self.push_sequence(Vec::new()),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_sequence(items)
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(instruction - 0x84))?;
                self.push_sequence(items)
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.extend(items)
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend(items)
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(items)
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)
            }
            _ => self.push_dict(),
        }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], ImportError> {
        match self.rest.split_at_checked(bytes) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => {
                error(format!("{bytes} bytes are claimed, {} of {} are left", self.rest.len(), self.length))
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.take(N)?.try_into().or_else(|_| error("cut short"))
    }

    pub(super) fn bounded(&self, count: usize, most: usize, what: &str) -> Result<(), ImportError> {
        if count > most { error(format!("more than {most} {what} in {} bytes", self.length)) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), ImportError> {
        self.bounded(self.stack.len() + 1, limits::PICKLE_STACK_MAX, "values on the stack")?;
        self.stack.push(value);
        Ok(())
    }

    /// Counts what will be kept.
    pub(super) fn keep(&mut self, count: usize) -> Result<(), ImportError> {
        self.made += count;
        self.bounded(self.made, limits::PICKLE_VALUES_MAX, "values")
    }

    /// The topmost values, not below the last mark.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, ImportError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(self.stack.split_off(height)),
            _ => error("the stack has too few values"),
        }
    }

    pub(super) fn pop(&mut self) -> Result<Value, ImportError> {
        self.pop_many(1)?.pop().map_or_else(|| error("the stack is empty"), Ok)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, ImportError> {
        match self.marks.pop() {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => error("there is no mark"),
        }
    }

    /// An integer of a given number of bytes, two's complement.
    fn long(&mut self) -> Result<i64, ImportError> {
        let [count] = self.array()?;
        let bytes = self.take(usize::from(count))?;
        if bytes.len() > 8 {
            return error(format!("an integer of {} bytes, at most 8 are taken", bytes.len()));
        }
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        for (place, byte) in whole.iter_mut().zip(bytes) {
            *place = *byte;
        }
        Ok(i64::from_le_bytes(whole))
    }

    fn text(&mut self) -> Result<Rc<str>, ImportError> {
        let claimed = u32::from_le_bytes(self.array()?) as usize;
        if claimed > limits::PICKLE_TEXT_BYTES_MAX {
            let most = limits::PICKLE_TEXT_BYTES_MAX;
            return error(format!("a text claims {claimed} bytes, at most {most} are taken"));
        }
        let text = std::str::from_utf8(self.take(claimed)?).or_else(|_| error("a text is not UTF-8"))?;
        self.keep(1)?;
        Ok(text.into())
    }

    pub(super) fn line(&mut self) -> Result<&'a str, ImportError> {
        let Some(end) = self.rest.iter().take(1024).position(|byte| *byte == b'\n') else {
            return error("a name does not end within 1024 bytes");
        };
        let line = std::str::from_utf8(self.take(end)?).or_else(|_| error("a name is not UTF-8"))?;
        self.take(1)?;
        Ok(line)
    }

    fn push_sequence(&mut self, items: Vec<Value>) -> Result<(), ImportError> {
        self.keep(1 + items.len())?;
        self.sequences.push(items);
        self.push(Value::Sequence(self.sequences.len() - 1))
    }

    pub(super) fn push_dict(&mut self) -> Result<(), ImportError> {
        self.keep(1)?;
        self.dicts.push(Vec::new());
        self.push(Value::Dict(self.dicts.len() - 1))
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<(), ImportError> {
        self.keep(items.len())?;
        let list = match self.stack.last() {
            Some(Value::Sequence(number)) => self.sequences.get_mut(*number),
            _ => None,
        };
        match list {
            Some(list) => list.extend(items),
            None => return error("values are appended to what is no list"),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), ImportError> {
        self.keep(items.len())?;
        let dict = match self.stack.last() {
            Some(Value::Dict(number)) => self.dicts.get_mut(*number),
            _ => None,
        };
        let Some(dict) = dict else { return error("entries are set in what is no dict") };
        if !items.len().is_multiple_of(2) {
            return error("a dict's key has no value");
        }
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((key, value));
        }
        Ok(())
    }

    fn memoize(&mut self, index: u32) -> Result<(), ImportError> {
        let Some(top) = self.stack.last().cloned() else { return error("the stack is empty") };
        self.keep(1)?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), ImportError> {
        match self.memo.get(&index).cloned() {
            Some(value) => self.push(value),
            None => error(format!("memo {index} was never set")),
        }
    }
}
