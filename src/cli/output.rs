//! Writing results to standard output and everything else to standard error, without panicking when nobody reads.

use std::io::{self, Write as _};

use super::{Exit, Failure};

/// Prints a result, whole lines; the last line ending is added when it is missing.
///
/// # Errors
/// Standard output is closed ([`Exit::Unread`]) or refuses.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let ending = if text.ends_with('\n') { "" } else { "\n" };
    write!(stdout, "{text}{ending}").and_then(|()| stdout.flush()).map_err(|error| unwritten(&error))
}

/// Says something that is no result. What standard error does not take is lost.
pub(super) fn complain(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn unwritten(error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("standard output: {error}"));
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure { exit: Exit::Unread, ..failure }
    } else {
        failure
    }
}
