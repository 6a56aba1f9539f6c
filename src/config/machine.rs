//! `[machine]`: how the machine is used.

use super::Key;
use super::reader::Reader;

/// How the machine is used.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// When a thread that wakes gets a core.
    pub scheduling: Scheduling,
}

/// When a thread that wakes gets a core that another thread runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// When that thread sleeps or has had its slice: fewer changes of threads.
    #[default]
    Batch,
    /// As the system sees fit, at once as a rule.
    Normal,
}

pub(super) fn keys(reader: &mut Reader) -> Machine {
    let key = |name: &str| Key::new(["machine", name]);
    let parse = |text: &str| match text {
        "batch" => Some(Scheduling::Batch),
        "normal" => Some(Scheduling::Normal),
        _ => None,
    };
    let scheduling = reader.text(&key("scheduling"), "\"batch\" or \"normal\"", parse);
    Machine { scheduling: scheduling.unwrap_or_default() }
}
