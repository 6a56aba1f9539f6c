//! How deep a JSON text is nested, found by a scan without recursion and before any parser sees it.

use crate::http::problem::{Code, Problem};
use crate::limits::JSON_DEPTH_MAX;

/// Refuses a text that is nested deeper than any request of ours.
///
/// # Errors
/// Where it goes too deep.
pub(super) fn check(text: &str) -> Result<(), Problem> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            // A bracket too many is the parser's to refuse.
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            let detail = format!("the JSON is nested more than {JSON_DEPTH_MAX} deep at byte {at}");
            return Err(Problem::new(Code::JsonTooDeep, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn the_bound_is_exact() {
        check(&nested(JSON_DEPTH_MAX)).unwrap();
        let problem = check(&nested(JSON_DEPTH_MAX + 1)).unwrap_err();
        assert_eq!(problem.code, Code::JsonTooDeep);
        assert_eq!(problem.detail, "the JSON is nested more than 32 deep at byte 32");
        check(&"{\"a\":".repeat(1_000)).unwrap_err();
    }

    #[test]
    fn brackets_in_strings_and_side_by_side_do_not_count() {
        check(&format!("\"{}\"", "[".repeat(1_000))).unwrap();
        check(&format!(r#"["\"{}", "\\"]"#, "{".repeat(1_000))).unwrap();
        check(&"[]".repeat(1_000)).unwrap();
        // The backslash is escaped, so the string ends before the brackets.
        check(&format!(r#"["\\"{}"#, "[".repeat(40))).unwrap_err();
    }
}
