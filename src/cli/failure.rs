//! Why a verb ended without its result, and the exit code that says so.

use std::fmt;

/// The exit codes of the program; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: whoever read standard output has gone, and with them the reason to go on.
    Unread = 0,
    /// 1: it was tried and failed.
    Failed = 1,
    /// 2: wrong usage.
    Usage = 2,
    /// 64: wrong configuration or data.
    Data = 64,
}

/// Why a verb ended without its result.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was wrong, where, what was expected.
    pub message: String,
    /// What to do next, if there is something.
    pub hint: Option<String>,
}

impl Failure {
    /// It was tried and failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string(), hint: None }
    }

    /// Wrong usage.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string(), hint: None }
    }

    /// Wrong configuration or data.
    pub fn data(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Data, message: message.to_string(), hint: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}
