//! How the system takes turns among this process's threads.
//!
//! The threads of a server wake each other for every request and every answer. By Linux's usual policy a thread that
//! wakes may take the core from one that runs, in the middle of a step: it changes threads twice for one request and
//! leaves cold caches behind. By the policy for batches (`SCHED_BATCH`) it goes to an idle core, or waits until the
//! running thread sleeps or has had its slice, and then finds several requests or answers to attend to. Shares of the
//! cores stay what they are.
//!
//! Measured on two cores with the reference LSTM: 13 to 20 % more requests/s over 4 to 16 connections, 90 % of the bare
//! engine's rows/s over HTTP instead of 82 %; but where another program keeps every core busy, up to a half fewer over
//! one connection, for that program is not interrupted either.

use std::io;

/// Has the calling thread, and those that it starts from now on, wait for their turns when they wake. Does nothing on systems
/// other than Linux.
///
/// # Errors
/// The system refuses, as a sandbox may.
pub fn wake_in_turn() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the numbers of a priority are numbers whatever their bits are, and 0 is the one that this policy has.
        let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
        // SAFETY: the call reads the parameters and writes no memory of this process; 0 is the calling thread.
        if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// The scheduling policy of the calling thread (proc(5), `stat`, field 41).
    fn policy() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The name, in parentheses, is the second field and may have spaces.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(41 - 3).unwrap().to_owned()
    }

    #[test]
    fn the_thread_and_those_it_starts_wait_for_their_turn_and_no_others_do() {
        let asked = thread::spawn(|| {
            assert_eq!(policy(), "0");
            wake_in_turn().unwrap();
            (policy(), thread::spawn(policy).join().unwrap())
        });
        assert_eq!(asked.join().unwrap(), ("3".to_owned(), "3".to_owned()));
        assert_eq!(policy(), "0");
    }
}
