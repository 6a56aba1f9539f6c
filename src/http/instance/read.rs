//! What a JSON value means to a model that takes texts, and to one that takes pictures.

use bytes::Bytes;

use super::{Instance, Numbers, OneOrMany};
use crate::http::ask::Given;
use crate::http::encoded;
use crate::http::problem::{Code, Problem};
use crate::image::Preparation;
use crate::model::InputPreparation;
use crate::value::{Features, Input, Raster, Task};

/// The largest whole number up to which every whole number is an f32; token ids are far smaller.
const EXACT_MAX: f32 = 16_777_216.0;

/// The member that holds bytes in base64, in TensorFlow Serving's way.
const BASE64: &str = "b64";

impl Instance {
    /// This value as an input of a model that takes what `takes` says.
    ///
    /// # Errors
    /// It is nothing that such a model takes; what was expected.
    pub(in crate::http) fn input(self, takes: &InputPreparation) -> Given {
        let value = self.only_member()?;
        match takes {
            InputPreparation::Text(_) => text(value),
            InputPreparation::Picture(preparation) => picture(value, preparation),
        }
    }

    /// Whether this is one input, or a list of them.
    pub(in crate::http) fn one_or_many(self, takes: &InputPreparation) -> OneOrMany {
        match self {
            Self::List(items) => OneOrMany::Many(items),
            Self::Numbers(numbers) if is_batch(&numbers, takes) => OneOrMany::Many(numbers.inputs()),
            one => OneOrMany::One(one),
        }
    }

    /// The kind of model that such a value is most likely meant for.
    pub(in crate::http) fn task(&self) -> Task {
        match self {
            Self::List(items) => items.first().map_or(Task::TextClassification, Self::task),
            Self::Numbers(numbers) if numbers.shape().len() >= 3 => Task::ImageClassification,
            Self::Object(members) => match members.as_slice() {
                [(name, Self::Text(encoded))] if name == BASE64 => {
                    let bytes = encoded::bytes(encoded).unwrap_or_default();
                    of_bytes(&bytes)
                }
                [(_, inner)] => inner.task(),
                _ => Task::TextClassification,
            },
            _ => Task::TextClassification,
        }
    }

    /// The value of an object's only member, as often as that is an object; bytes in base64 stay as they are.
    fn only_member(self) -> Result<Self, Problem> {
        match self {
            Self::Object(mut members) if members.len() == 1 => match members.pop() {
                Some((name, value)) if name == BASE64 => Ok(Self::Object(vec![(name, value)])),
                Some((_, value)) => value.only_member(),
                None => Ok(Self::Null),
            },
            object @ Self::Object(_) => Err(refused("one input, or an object with one member", &object)),
            value => Ok(value),
        }
    }
}

/// The kind of model that these bytes are most likely meant for.
pub(in crate::http) fn of_bytes(bytes: &[u8]) -> Task {
    if ::image::guess_format(bytes).is_ok() || std::str::from_utf8(bytes).is_err() {
        Task::ImageClassification
    } else {
        Task::TextClassification
    }
}

/// Bytes as an input: a text in UTF-8, or a picture of a known format.
///
/// # Errors
/// A text that is not UTF-8.
pub(in crate::http) fn bytes(bytes: Bytes, takes: &InputPreparation) -> Given {
    match takes {
        InputPreparation::Picture(_) => Ok(Input::Picture(bytes)),
        InputPreparation::Text(_) => utf8(bytes),
    }
}

fn utf8(bytes: Bytes) -> Given {
    String::from_utf8(bytes.into()).map(Input::Text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(Code::InvalidUtf8, format!("the text is not UTF-8 from byte {at} on"))
    })
}

fn refused(expected: &str, found: &Instance) -> Problem {
    Problem::new(Code::InvalidRequest, format!("expected {expected}, found {}", found.kind()))
}

const TEXT: &str = "a text as a string, {\"b64\": …} of its UTF-8, or a list of token ids";

fn text(value: Instance) -> Given {
    match value {
        Instance::Text(text) => Ok(Input::Text(text)),
        Instance::Object(_) => utf8(base64(value, TEXT)?),
        Instance::Numbers(numbers) => tokens(&numbers),
        // A row of a column of strings, as TensorFlow's clients send it.
        Instance::List(mut items) if items.len() == 1 => match items.pop() {
            Some(Instance::Text(text)) => Ok(Input::Text(text)),
            Some(other) => Err(refused(TEXT, &other)),
            None => Err(refused(TEXT, &Instance::Null)),
        },
        other => Err(refused(TEXT, &other)),
    }
}

/// The bytes of `{"b64": …}`.
fn base64(value: Instance, expected: &str) -> Result<Bytes, Problem> {
    match value {
        Instance::Object(mut members) => match members.pop() {
            Some((_, Instance::Text(text))) => encoded::bytes(&text),
            Some((_, other)) => Err(refused(expected, &other)),
            None => Err(refused(expected, &Instance::Null)),
        },
        other => Err(refused(expected, &other)),
    }
}

fn tokens(numbers: &Numbers) -> Given {
    let id = |value: &f32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in the range")]
        let id = (value.fract() == 0.0 && (0.0..EXACT_MAX).contains(value)).then_some(*value as u32);
        id
    };
    let ids: Option<Vec<u32>> =
        if numbers.shape().len() == 1 { numbers.values().iter().map(id).collect() } else { None };
    match ids {
        Some(ids) => Ok(Input::Ready(Features::Tokens(ids.into()))),
        None => Err(refused(TEXT, &Instance::Numbers(numbers.clone()))),
    }
}

fn picture(value: Instance, preparation: &Preparation) -> Given {
    let [channels, height, width] = shape(preparation);
    let expected = format!(
        "a picture: {{\"b64\": …}} of an encoded one, its pixels as [height][width][3] whole numbers from 0 to 255, \
         or a prepared tensor of shape [{channels}, {height}, {width}]"
    );
    match value {
        Instance::Text(text) => encoded::bytes(&text).map(Input::Picture),
        Instance::Object(_) => base64(value, &expected).map(Input::Picture),
        Instance::Numbers(numbers) if numbers.shape() == shape(preparation) => {
            Ok(Input::Ready(Features::Pixels(numbers.values().into())))
        }
        Instance::Numbers(numbers) => {
            pixels(&numbers).ok_or_else(|| refused(&expected, &Instance::Numbers(numbers)))
        }
        // A row of a column of pictures.
        Instance::List(mut items) if items.len() == 1 => match items.pop() {
            Some(Instance::Text(text)) => encoded::bytes(&text).map(Input::Picture),
            Some(object @ Instance::Object(_)) => base64(object, &expected).map(Input::Picture),
            other => Err(refused(&expected, &other.unwrap_or(Instance::Null))),
        },
        other => Err(refused(&expected, &other)),
    }
}

/// The shape of what the network sees: channels, height, width.
fn shape(preparation: &Preparation) -> [usize; 3] {
    [preparation.channels, preparation.height, preparation.width]
}

/// `[height][width]` or `[height][width][channels]` of whole numbers from 0 to 255.
fn pixels(numbers: &Numbers) -> Option<Input> {
    let (height, width, channels) = match *numbers.shape() {
        [height, width] => (height, width, 1),
        [height, width, channels] => (height, width, channels),
        _ => return None,
    };
    let sides = [u32::try_from(height).ok()?, u32::try_from(width).ok()?];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in the range")]
    let byte = |value: &f32| (value.fract() == 0.0 && (0.0..=255.0).contains(value)).then_some(*value as u8);
    let values: Option<Vec<u8>> = numbers.values().iter().map(byte).collect();
    let raster = Raster::new(sides, u8::try_from(channels).ok()?, values?.into())?;
    Some(Input::Pixels(raster))
}

/// Whether the outermost list is of inputs: one dimension more than one of them has.
fn is_batch(numbers: &Numbers, takes: &InputPreparation) -> bool {
    match takes {
        InputPreparation::Text(_) => numbers.shape().len() >= 2,
        InputPreparation::Picture(_) => numbers.shape().len() >= 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Fit;
    use crate::model::TextInput;

    fn texts() -> InputPreparation {
        InputPreparation::Text(TextInput { tokens_max: 8 })
    }

    fn pictures() -> InputPreparation {
        let (mean, std) = (vec![0.0; 3], vec![1.0; 3]);
        let (height, width) = (1, 2);
        InputPreparation::Picture(Preparation { channels: 3, height, width, fit: Fit::Stretch, mean, std })
    }

    fn read(json: &str, takes: &InputPreparation) -> Given {
        Instance::parse(json.as_bytes()).unwrap().input(takes)
    }

    #[test]
    fn a_text_comes_in_several_ways() {
        let text = |text: &str| Ok(Input::Text(text.to_owned()));
        for json in
            [r#""hi""#, r#"{"b64": "aGk="}"#, r#"{"text": "hi"}"#, r#"{"x": {"b64": "aGk="}}"#, r#"["hi"]"#]
        {
            assert_eq!(read(json, &texts()), text("hi"), "{json}");
        }
        let ids = Input::Ready(Features::Tokens([1, 2, 999_999].into()));
        assert_eq!(read("[1, 2, 999999]", &texts()), Ok(ids));
    }

    #[test]
    fn a_picture_comes_in_several_ways() {
        let encoded = Input::Picture("hi".into());
        for json in
            [r#"{"b64": "aGk="}"#, r#""aGk=""#, r#"{"image_bytes": {"b64": "aGk="}}"#, r#"[{"b64": "aGk="}]"#]
        {
            assert_eq!(read(json, &pictures()), Ok(encoded.clone()), "{json}");
        }
        let grey = Raster::new([1, 2], 1, vec![0, 255].into()).unwrap();
        assert_eq!(read("[[0, 255]]", &pictures()), Ok(Input::Pixels(grey)));
        let rgb = Raster::new([2, 1], 3, vec![1, 2, 3, 4, 5, 6].into()).unwrap();
        assert_eq!(read("[[[1, 2, 3]], [[4, 5, 6]]]", &pictures()), Ok(Input::Pixels(rgb)));
        let ready = Input::Ready(Features::Pixels([0.5, 1.0, 2.0, 3.0, -4.0, 5.0].into()));
        assert_eq!(read("[[[0.5, 1]], [[2, 3]], [[-4, 5]]]", &pictures()), Ok(ready));
    }

    #[test]
    fn what_means_nothing_to_the_model_is_refused_with_what_was_expected() {
        let texts_refused = [
            ("null", "found null"),
            ("3", "found a number"),
            ("true", "found a boolean"),
            ("[1, -2]", "found numbers of shape [2]"),
            ("[1.5]", "found numbers of shape [1]"),
            ("[16777217]", "found numbers of shape [1]"),
            ("[[1]]", "found numbers of shape [1, 1]"),
            (r#"["a", "b"]"#, "found a list of 2"),
            (r#"{"a": "x", "b": "y"}"#, "found an object with a, b"),
            ("{}", "found an object with no members"),
        ];
        for (json, found) in texts_refused {
            let problem = read(json, &texts()).unwrap_err();
            assert_eq!(problem.code, Code::InvalidRequest, "{json}");
            assert!(
                problem.detail.starts_with("expected ") && problem.detail.ends_with(found),
                "{}",
                problem.detail
            );
        }
        for json in ["[1, 2]", "[[256]]", "[[0.5]]", "[[[1, 2]]]", "[[[[1]]]]", "7"] {
            let problem = read(json, &pictures()).unwrap_err();
            assert!(problem.detail.contains("[3, 1, 2]"), "{json}: {}", problem.detail);
        }
        assert_eq!(read(r#"{"b64": "$"}"#, &texts()).unwrap_err().code, Code::InvalidBase64);
        assert_eq!(read(r#"{"b64": "/w=="}"#, &texts()).unwrap_err().code, Code::InvalidUtf8);
    }

    #[test]
    fn one_input_and_several_are_told_apart_by_what_the_model_takes() {
        let count = |json: &str, takes: &InputPreparation| match Instance::parse(json.as_bytes())
            .unwrap()
            .one_or_many(takes)
        {
            OneOrMany::One(_) => 0,
            OneOrMany::Many(items) => items.len(),
        };
        assert_eq!(count("\"a\"", &texts()), 0);
        assert_eq!(count("[\"a\", \"b\"]", &texts()), 2);
        assert_eq!(count("[1, 2]", &texts()), 0);
        assert_eq!(count("[[1, 2], [3, 4]]", &texts()), 2);
        assert_eq!(count("[[[1, 2, 3]]]", &pictures()), 0);
        assert_eq!(count("[[[[1, 2, 3]]]]", &pictures()), 1);
    }

    #[test]
    fn the_kind_of_model_is_guessed_by_the_value() {
        let task = |json: &str| Instance::parse(json.as_bytes()).unwrap().task();
        for json in ["\"a\"", "[1, 2]", r#"["a"]"#, r#"{"b64": "aGk="}"#] {
            assert_eq!(task(json), Task::TextClassification, "{json}");
        }
        for json in ["[[[1, 2, 3]]]", r#"{"b64": "iVBORw0KGgo="}"#, r#"[{"x": {"b64": "/9j/4A=="}}]"#] {
            assert_eq!(task(json), Task::ImageClassification, "{json}");
        }
    }
}
