//! AMX: eight registers that hold a tile each, up to 16 rows of 64 bytes, and one instruction that multiplies two of them.
//!
//! Sketch: `tdpbssd` adds the product of 16 × 64 and 64 × 16 signed bytes to 16 × 16 sums of i32, `tdpbf16ps` that of
//! 16 × 32 and 32 × 16 bfloat16 to sums of f32: 16,384 and 8,192 multiply-adds in 16 cycles, where two AVX-512 units do 512
//! of f32. A tile of fewer rows takes less. From the second-level cache a tile comes at some 40 bytes a cycle. While tiles
//! are in use, and for some 500 cycles after, a core does one vector of fused multiply-adds a cycle instead of two, and under
//! real data its clock is a sixth slower (Sapphire Rapids, measured).
//!
//! Linux gives a process the tiles when it asks for them, once; a thread then says how many rows its tiles have before it
//! uses them, and gives them back, so that they are not saved at every change of threads. The instructions are
//! written in assembly, because the language has no stable functions for them; the compiler itself never touches a tile.

use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile at most.
pub(super) const ROWS_MAX: usize = 16;
/// Bytes of a row.
pub(super) const ROW_BYTES: usize = 64;
/// Bytes of a tile of [`ROWS_MAX`] rows.
pub(super) const TILE_BYTES: usize = ROWS_MAX * ROW_BYTES;
/// Columns of a tile of sums, four bytes each.
pub(super) const COLUMNS: usize = ROW_BYTES / 4;
/// Tiles whose rows are rows of a batch: the sums and what is multiplied, `tmm0` to `tmm5`. The other two hold weights.
const BATCH_TILES: usize = 6;

/// Whether this machine has tiles of bytes and of bfloat16, and gives them to this process.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && is_permitted())
}

#[cfg(target_arch = "x86_64")]
fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    /// Leaf 1, ECX: the operating system saves registers by `xsave`.
    const OSXSAVE: u32 = 1 << 27;
    /// Leaf 7, EDX: bfloat16, tiles, bytes.
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// What the operating system saves: the tiles' shape, and the tiles.
    const SAVED: u64 = 1 << 17 | 1 << 18;

    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 || __cpuid_count(7, 0).edx & TILES != TILES {
        return false;
    }
    // SAFETY: the machine has `xgetbv`, as the bit for `xsave` says.
    unsafe { _xgetbv(0) & SAVED == SAVED }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_tiles() -> bool {
    false
}

/// Asks Linux for the tiles; a sandbox may refuse them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILE_DATA: libc::c_long = 18;
    // SAFETY: the call reads and writes no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) == 0 }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn is_permitted() -> bool {
    false
}

/// The calling thread's tiles, for as long as this lives; it stays on its thread.
#[derive(Debug)]
pub(super) struct Tiles(PhantomData<*const ()>);

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Shapes the tiles for a batch of `rows` rows, of 1 to [`ROWS_MAX`].
    ///
    /// # Safety
    /// The machine has tiles: [`is_available`].
    #[cfg(target_arch = "x86_64")]
    pub(super) unsafe fn shaped(rows: usize) -> Self {
        let mut shape =
            Shape { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for tile in 0..8 {
            shape.row_bytes[tile] = 64;
            let rows = if tile < BATCH_TILES { rows.clamp(1, ROWS_MAX) } else { ROWS_MAX };
            shape.rows[tile] = u8::try_from(rows).unwrap_or(16);
        }
        // SAFETY: the caller promises tiles; the shape is one of palette 1, and 64 bytes long.
        unsafe {
            std::arch::asm!("ldtilecfg [{}]", in(reg) &raw const shape, options(nostack, preserves_flags, readonly));
        }
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a value of this type exists only where there are tiles.
        unsafe {
            std::arch::asm!("tilerelease", options(nomem, nostack, preserves_flags));
        }
    }
}
