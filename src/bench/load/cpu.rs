//! What this process has computed: the generator's own cost, which a server on the same machine lacks.

/// Clock ticks a second of `/proc`: 100 on every Linux there is.
#[cfg(target_os = "linux")]
const TICKS_A_SECOND: f64 = 100.0;

/// Seconds of CPU time of all threads so far, to a hundredth; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn process_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, may hold anything but ends with the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

/// Not told here.
#[cfg(not(target_os = "linux"))]
pub(super) fn process_seconds() -> Option<f64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn computing_shows() {
        let before = process_seconds().unwrap();
        let begun = Instant::now();
        while process_seconds().unwrap() < before + 0.02 {
            assert!(begun.elapsed() < Duration::from_mins(1), "{before}");
        }
    }
}
