//! How much memory a case takes, to the byte: every allocation of the process is counted.

use peak_alloc::PeakAlloc;

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

/// Runs something, and says how many bytes were in use at the most beyond what was in use before. Nothing else may run beside it.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    COUNTED.reset_peak_usage();
    let before = COUNTED.current_usage();
    let result = work();
    (result, COUNTED.peak_usage().saturating_sub(before))
}
