//! How much memory a case takes, to the byte: the allocations of the thread are counted.

/// Runs something, and says how many bytes were in use at the most beyond what was in use before.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (mut work, mut result) = (Some(work), None);
    let counted = allocation_counter::measure(|| result = work.take().map(|work| work()));
    (result.expect("it was measured once"), usize::try_from(counted.bytes_max).unwrap_or(usize::MAX))
}
