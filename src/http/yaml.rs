//! JSON as YAML: block style, keys in their order, every string that could be read as something else in quotes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value that keeps the order of its keys.
enum Node {
    Scalar(serde_json::Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Writes a JSON text as YAML.
///
/// # Errors
/// It is no JSON.
pub(super) fn from_json(text: &str) -> Result<String, serde_json::Error> {
    let node: Node = serde_json::from_str(text)?;
    let mut yaml = String::new();
    write(&mut yaml, &node, 0);
    Ok(yaml.trim_start().to_owned())
}

/// Appends the node: a scalar on this line, anything longer on the next ones.
fn write(yaml: &mut String, node: &Node, depth: usize) {
    match node {
        Node::Scalar(value) => {
            yaml.push(' ');
            yaml.push_str(&scalar(value, depth));
            yaml.push('\n');
        }
        Node::List(items) if items.is_empty() => yaml.push_str(" []\n"),
        Node::Map(fields) if fields.is_empty() => yaml.push_str(" {}\n"),
        Node::List(items) => {
            yaml.push('\n');
            for item in items {
                write_item(yaml, item, depth);
            }
        }
        Node::Map(fields) => {
            yaml.push('\n');
            for (key, value) in fields {
                write_field(yaml, key, value, depth);
            }
        }
    }
}

fn write_field(yaml: &mut String, key: &str, value: &Node, depth: usize) {
    yaml.push_str(&"  ".repeat(depth));
    yaml.push_str(&string(key));
    yaml.push(':');
    write(yaml, value, depth + 1);
}

fn write_item(yaml: &mut String, item: &Node, depth: usize) {
    let mut block = String::new();
    write(&mut block, item, depth + 1);
    // The first line of a block goes on the line of its dash.
    yaml.push_str(&"  ".repeat(depth));
    yaml.push_str("- ");
    yaml.push_str(block.trim_start());
}

fn scalar(value: &serde_json::Value, depth: usize) -> String {
    match value {
        serde_json::Value::String(text) if text.contains('\n') && is_block(text) => block(text, depth),
        serde_json::Value::String(text) => string(text),
        other => other.to_string(),
    }
}

/// Whether a text of several lines reads back the same as a literal block.
fn is_block(text: &str) -> bool {
    !text.starts_with([' ', '\n'])
        && !text.ends_with(['\n', ' '])
        && !text.contains(['\r', '\t', '\u{85}', '\u{feff}'])
}

fn block(text: &str, depth: usize) -> String {
    let indent = "  ".repeat(depth.max(1));
    let lines =
        text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") });
    format!("|-\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// A string on one line, in quotes when it could be read as something else. JSON's quoting is YAML's, too.
fn string(text: &str) -> String {
    let first_fits =
        text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/' || first == '$');
    let fits = |c: char| c.is_ascii_alphanumeric() || " /_-.,;()$'{}=+*".contains(c);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = first_fits && text.chars().all(fits) && !text.ends_with(' ');
    if plain && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(serde_json::Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Scalar(truth.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Scalar(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry()? {
            map.push(field);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_order_and_quoting_survive() {
        let json = r#"{"z": {"b": 1, "a": [true, null, 1.5]}, "list": [{"x": "one", "w": []}, [1, [2]], {}],
            "'200'": "yes", "404": "a: b # c", "/v1/{name}": "plain text, (really)", "text": "two\n\nlines"}"#;
        let expected = r#"z:
  b: 1
  a:
    - true
    - null
    - 1.5
list:
  - x: one
    w: []
  - - 1
    - - 2
  - {}
"'200'": "yes"
"404": "a: b # c"
/v1/{name}: plain text, (really)
text: |-
  two

  lines
"#;
        assert_eq!(from_json(json).unwrap(), expected);
    }

    #[test]
    fn what_could_be_read_as_something_else_is_quoted() {
        for text in [
            "", "true", "No", "3", "1.5", "-", "- x", "a: b", "a #b", "*x", "x ", " x", "#x", "é", "\"q\"",
            "a\tb",
        ] {
            assert!(string(text).starts_with('"'), "{text}");
        }
        for text in ["one", "/v1/models", "$ref", "text-classification", "it's {this}"] {
            assert_eq!(string(text), text);
        }
    }
}
