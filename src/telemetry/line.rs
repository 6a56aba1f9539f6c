//! One event, one line: what callers send cannot forge a log line or steer a terminal.

use std::io::{self, Write};

/// Writes whole events; every control character in one but its last line feed goes out as `\u001b`, which is also
/// how JSON spells it.
#[derive(Debug)]
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    /// Takes one event: the subscriber formats it whole before it writes.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(one_line(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with its control characters (C0, DEL and C1, and the two separators that some viewers break lines at)
/// escaped, and a line feed at its end.
fn one_line(event: &str) -> String {
    let body = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(body.len() + 1);
    for character in body.chars() {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            let code = u32::from(character);
            line.extend(["\\u", &format!("{code:04x}")]);
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_out_escaped() {
        let mut written = Vec::new();
        OneLine(&mut written)
            .write_all("a\x1b[2J\r\nINFO forged\0\u{9b}\u{7f}\u{2028}é\n".as_bytes())
            .unwrap();
        let expected = "a\\u001b[2J\\u000d\\u000aINFO forged\\u0000\\u009b\\u007f\\u2028é\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn escapes_inside_json_strings_are_json() {
        let line = one_line("{\"name\":\"a\u{9b}b\"}\n");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["name"], "a\u{9b}b");
    }
}
