//! The datatypes of the protocol: their names on the wire and the sizes of their elements.

/// What an element of a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum Datatype {
    /// A byte that is 0 or 1.
    Bool,
    /// Unsigned, 1 byte.
    Uint8,
    /// Unsigned, 2 bytes.
    Uint16,
    /// Unsigned, 4 bytes.
    Uint32,
    /// Unsigned, 8 bytes.
    Uint64,
    /// Signed, 1 byte.
    Int8,
    /// Signed, 2 bytes.
    Int16,
    /// Signed, 4 bytes.
    Int32,
    /// Signed, 8 bytes.
    Int64,
    /// IEEE half; it has no form in JSON.
    Fp16,
    /// IEEE single.
    Fp32,
    /// IEEE double.
    Fp64,
    /// The upper half of a single; it has no form in JSON.
    Bf16,
    /// A byte string of any length.
    Bytes,
}

impl Datatype {
    /// Every datatype.
    pub(in crate::http) const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Fp32,
        Self::Fp64,
        Self::Bf16,
        Self::Bytes,
    ];

    /// Its name in tensors.
    pub(in crate::http) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bf16 => "BF16",
            Self::Bytes => "BYTES",
        }
    }

    /// Its name in a model's configuration: `TYPE_FP32`; byte strings are `TYPE_STRING` there.
    pub(in crate::http) fn in_config(self) -> String {
        match self {
            Self::Bytes => "TYPE_STRING".to_owned(),
            other => format!("TYPE_{}", other.as_str()),
        }
    }

    /// The datatype of this name.
    pub(in crate::http) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.as_str() == name)
    }

    /// Bytes an element; `None` of byte strings, which have any length.
    pub(in crate::http) fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datatype_is_known_by_its_name() {
        for datatype in Datatype::ALL {
            assert_eq!(Datatype::named(datatype.as_str()), Some(datatype));
        }
        for other in ["fp32", "TYPE_FP32", "STRING", ""] {
            assert_eq!(Datatype::named(other), None, "{other}");
        }
        assert_eq!(Datatype::Bytes.in_config(), "TYPE_STRING");
        assert_eq!(Datatype::Bool.in_config(), "TYPE_BOOL");
    }
}
