//! A reader of the pickles that `torch.save` writes for a dict of tensors: no recursion, no code, every count bounded.
//!
//! A pickle is a program for a machine with a stack and a memo. This one knows the instructions of protocol 2 that
//! PyTorch emits and five functions, which it does not call but understands; anything else is refused by name.
//! Containers live in one list and are referred to by number, so that nesting costs no stack and sharing no copies.

mod calls;
mod machine;

use std::rc::Rc;

use super::ImportError;
use super::tensors::Element;
use machine::Machine;

/// A value on the stack or in a container.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// A tuple or list, by number.
    Sequence(usize),
    /// A dict, by number.
    Dict(usize),
    Function(Function),
    StorageClass(Element),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
}

/// The functions that a `state_dict` calls, and what they make here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    /// `collections.OrderedDict()`
    Dict,
    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`
    Tensor,
    /// `torch._utils._rebuild_parameter(tensor, …)`
    Parameter,
}

/// Where a tensor's numbers are: an entry of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) element: Element,
    pub(super) length: usize,
}

/// A tensor as claimed; nothing of it is checked against its storage yet.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) storage: Rc<Storage>,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// What a pickle made: its result, and the dicts that it refers to.
#[derive(Debug)]
pub(super) struct Unpickled {
    pub(super) result: Value,
    dicts: Vec<Vec<(Value, Value)>>,
}

impl Unpickled {
    /// The entries of a dict of this number, in the order they were set.
    pub(super) fn dict(&self, number: usize) -> &[(Value, Value)] {
        self.dicts.get(number).map_or(&[], Vec::as_slice)
    }
}

/// Reads a pickle.
pub(super) fn unpickle(content: &[u8]) -> Result<Unpickled, ImportError> {
    let mut machine = Machine::new(content);
    loop {
        let at = content.len() - machine.rest.len();
        let result =
            machine.step().map_err(|error| ImportError(format!("its pickle, at byte {at}: {error}")))?;
        if let Some(result) = result {
            return Ok(Unpickled { result, dicts: machine.dicts });
        }
    }
}
