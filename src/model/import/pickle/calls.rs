//! What a `state_dict` calls: storages by persistent id, and the few functions that make tensors and dicts of them.

use std::rc::Rc;

use super::machine::{Machine, error};
use super::{Function, Storage, Tensor, Value};
use crate::limits;
use crate::model::import::tensors::Element;
use crate::model::import::{ImportError, SAVE_A_STATE_DICT};

impl Machine<'_> {
    pub(super) fn global(&mut self) -> Result<Value, ImportError> {
        let (module, name) = (self.line()?, self.line()?);
        let function = match (module, name) {
            ("collections", "OrderedDict") => Function::Dict,
            ("torch._utils", "_rebuild_tensor_v2") => Function::Tensor,
            ("torch._utils", "_rebuild_parameter") => Function::Parameter,
            ("torch", class) if Element::of_storage(class).is_some() => {
                return Element::of_storage(class)
                    .map_or_else(|| error("unknown storage"), |e| Ok(Value::StorageClass(e)));
            }
            _ => {
                let (module, name) = (module.escape_debug(), name.escape_debug());
                return error(format!(
                    "loading it in Python would run code: it names {module}.{name}, which is not part of a \
                     state_dict of plain tensors; {SAVE_A_STATE_DICT}"
                ));
            }
        };
        Ok(Value::Function(function))
    }

    fn sequence(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Sequence(number) => self.sequences.get(*number).map(Vec::as_slice),
            _ => None,
        }
    }

    /// A persistent id: `("storage", class, key, device, length)`.
    pub(super) fn storage(&mut self) -> Result<(), ImportError> {
        let id = self.pop()?;
        let storage = match self.sequence(&id) {
            Some(
                [
                    Value::Text(kind),
                    Value::StorageClass(element),
                    Value::Text(key),
                    Value::Text(_),
                    Value::Int(length),
                ],
            ) if **kind == *"storage" => {
                let length =
                    usize::try_from(*length).or_else(|_| error("a storage has a negative length"))?;
                Storage { key: (**key).to_owned(), element: *element, length }
            }
            _ => return error("a persistent id is not that of a storage"),
        };
        self.keep(1)?;
        self.push(Value::Storage(Rc::new(storage)))
    }

    fn integers(&self, value: &Value) -> Result<Vec<i64>, ImportError> {
        let items = self.sequence(value).map_or_else(|| error("a shape is no tuple"), Ok)?;
        self.bounded(items.len(), limits::TENSOR_RANK_MAX, "dimensions")?;
        let integer = |item: &Value| match item {
            Value::Int(integer) => Ok(*integer),
            _ => error("a shape has what is no integer"),
        };
        items.iter().map(integer).collect()
    }

    pub(super) fn call(&mut self) -> Result<(), ImportError> {
        let arguments = self.pop()?;
        let Value::Function(function) = self.pop()? else {
            return error("what is called is no function that a state_dict has");
        };
        let Some(arguments) = self.sequence(&arguments) else {
            return error("a function's arguments are no tuple");
        };
        let made = match (function, arguments) {
            (Function::Dict, []) => return self.push_dict(),
            (Function::Parameter, [Value::Tensor(tensor), ..]) => Value::Tensor(Rc::clone(tensor)),
            (Function::Tensor, [Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
                let (shape, strides) = (self.integers(shape)?, self.integers(strides)?);
                Value::Tensor(Rc::new(Tensor {
                    storage: Rc::clone(storage),
                    offset: *offset,
                    shape,
                    strides,
                }))
            }
            _ => return error(format!("{function:?} is called with arguments that torch.save never gives")),
        };
        self.keep(1)?;
        self.push(made)
    }

    /// Attributes of a dict (`_metadata`) or of a parameter: not needed.
    pub(super) fn build(&mut self) -> Result<(), ImportError> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_) | Value::Tensor(_)) => Ok(()),
            _ => error("attributes are set on what is neither dict nor tensor"),
        }
    }
}
