//! What vector instructions this machine has, asked once, and overridable so that tests reach every path.

use std::sync::OnceLock;

/// A set of vector instructions that kernels are compiled for, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// AVX-512 as below, and AMX: eight tiles of 16 rows of 64 bytes.
    Amx,
    /// AVX-512 F, BW, DQ and VL: 16 f32 a vector, 32 registers.
    Avx512,
    /// AVX2 and FMA: 8 f32 a vector, 16 registers.
    Avx2,
    /// No vector instructions are asked for: the oracle, and the last resort.
    Scalar,
}

impl Level {
    /// Every level, the widest first; not all of them are [available](Self::is_available) on every machine.
    pub const ALL: [Self; 4] = [Self::Amx, Self::Avx512, Self::Avx2, Self::Scalar];

    /// The widest level of this machine.
    #[must_use]
    pub fn detect() -> Self {
        static WIDEST: OnceLock<Level> = OnceLock::new();
        *WIDEST.get_or_init(|| Self::available().next().unwrap_or(Self::Scalar))
    }

    /// The levels of this machine, the widest first; the last one is [`Scalar`](Self::Scalar).
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// Whether this machine can run code compiled for this level.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => {
                is_x86_feature_detected!("avx512vbmi")
                    && Self::Avx512.is_available()
                    && super::amx::is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Amx | Self::Avx512 | Self::Avx2 => false,
            Self::Scalar => true,
        }
    }

    /// Whether this machine's AVX-512 multiplies and adds pairs of 16-bit integers in one instruction (VNNI).
    #[must_use]
    pub fn has_vnni() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// This level where the machine has it, the widest one below it otherwise. Kernels call it when weights are
    /// packed, so that what they hold is always sound to run.
    #[must_use]
    pub fn or_below(self) -> Self {
        Self::available().find(|level| level.rank() <= self.rank()).unwrap_or(Self::Scalar)
    }

    /// This level without tiles, where a kernel has no use for them.
    #[must_use]
    pub fn untiled(self) -> Self {
        if self == Self::Amx { Self::Avx512 } else { self }
    }

    /// f32 values of one vector; the scalar twins walk in the same blocks of 16 as AVX-512.
    #[must_use]
    pub fn lanes(self) -> usize {
        match self {
            Self::Amx | Self::Avx512 | Self::Scalar => 16,
            Self::Avx2 => 8,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Amx => 3,
            Self::Avx512 => 2,
            Self::Avx2 => 1,
            Self::Scalar => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_level_is_available_and_scalar_always_is() {
        assert!(Level::detect().is_available());
        assert_eq!(Level::available().last(), Some(Level::Scalar));
    }

    #[test]
    fn a_level_that_is_not_there_falls_to_one_below() {
        assert_eq!(Level::Scalar.or_below(), Level::Scalar);
        for level in Level::ALL {
            let found = level.or_below();
            assert!(found.is_available() && found.rank() <= level.rank());
            assert!(!level.is_available() || found == level);
        }
    }
}
