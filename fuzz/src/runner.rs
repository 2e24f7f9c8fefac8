//! Judges cases, and makes one that fails small.

use crate::{case::Case, memory};
use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
    time::{Duration, Instant},
};

/// No case is worth so much time on any machine: a few KiB have been read.
const SLOW: Duration = Duration::from_secs(10);

/// What it took to judge a case.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes of memory at the most.
    pub memory: usize,
    /// Time.
    pub took: Duration,
}

thread_local! {
    /// What the panic of the case that is judged on this thread has said; `None`: none is.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Judges a case: what it took, or what did not hold.
///
/// # Errors
/// What a panic said, or which bound was passed.
pub fn judge(case: &Case) -> Result<Cost, String> {
    quietly();
    SAID.replace(Some(String::new()));
    let began = Instant::now();
    let (ended, peak) = memory::peak_of(|| panic::catch_unwind(AssertUnwindSafe(|| case.check())));
    let (took, said) = (began.elapsed(), SAID.take().unwrap_or_default());
    if ended.is_err() {
        return Err(said);
    }
    if peak > case.memory_max() {
        return Err(format!(
            "{peak} bytes of memory for {} bytes, where {} are allowed",
            case.size(),
            case.memory_max()
        ));
    }
    if took > SLOW {
        return Err(format!("{took:?} for {} bytes", case.size()));
    }
    Ok(Cost { memory: peak, took })
}

/// Keeps what a panic says instead of printing it: a case that is made small fails many times.
fn quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if SAID.with_borrow(Option::is_none) {
                return usual(panic);
            }
            let words = panic.payload_as_str().unwrap_or("a panic without words");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            SAID.replace(Some(format!("{words} (at {place})")));
        }));
    });
}

/// Leaves out what is not needed to fail in the same way.
pub fn smallest(mut case: Case, why: &str) -> Case {
    let first_line = |why: &str| why.lines().next().map(str::to_owned);
    let fails_alike = |case: &Case| judge(case).is_err_and(|other| first_line(&other) == first_line(why));
    while let Some(smaller) = case.smaller().into_iter().find(fails_alike) {
        case = smaller;
    }
    case
}
