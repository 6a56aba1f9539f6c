//! What is taken of labels, tokenizers and settings, and what is said of the others.

use super::*;
use crate::nn::{conv, lstm};

fn text_model(outputs: usize) -> Architecture {
    Architecture::LstmClassifier(lstm::Config {
        vocabulary: 3,
        embedding_dim: 2,
        hidden_dim: 2,
        layers: 1,
        bidirectional: false,
        pooling: lstm::Pooling::Last,
        dropout: 0.0,
        outputs,
    })
}

fn preparing(settings: &[(&str, &str)]) -> Preparing {
    let mut preparing = Preparing::default();
    for (key, value) in settings {
        preparing.set(key, value).unwrap();
    }
    preparing
}

#[test]
fn labels_are_lines_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        labels(&path).map_err(|failure| failure.message)
    };
    assert_eq!(read("no\nyes\n").unwrap(), ["no", "yes"]);
    assert_eq!(read("no\r\nyes").unwrap(), ["no", "yes"]);
    assert_eq!(read(" [\"no\", \"yes\"]").unwrap(), ["no", "yes"]);
    for (text, expected) in [
        ("", "0 labels"),
        ("one", "1 labels"),
        ("a\n\nb", "label 2 has 0 bytes"),
        ("a\nb\na", "label 3, \"a\", is there twice"),
        ("[1, 2]", "expected a JSON array of texts"),
        ("[\"a\"", "expected a JSON array of texts"),
    ] {
        assert!(read(text).unwrap_err().contains(expected), "{text:?}");
    }
}

#[test]
fn outputs_and_labels_tell_the_objective() {
    let file = Path::new("labels.txt");
    let objective = |outputs, labels, settings: &[(&str, &str)]| {
        preparing(settings).objective(&text_model(outputs), labels, file).map_err(|failure| failure.message)
    };
    assert_eq!(objective(1, 2, &[]), Ok(Objective::Binary));
    assert_eq!(objective(3, 3, &[]), Ok(Objective::MultiClass));
    assert_eq!(objective(3, 3, &[("objective", "multi-label")]), Ok(Objective::MultiLabel));
    assert!(objective(3, 2, &[]).unwrap_err().starts_with("labels.txt: 2 labels for 3 outputs"));
    assert!(objective(1, 3, &[]).is_err());
    assert!(objective(2, 2, &[("objective", "binary")]).is_err());
}

#[test]
fn a_text_model_needs_a_tokenizer_and_says_how_to_make_one() {
    let failure = tokenizer(None, &text_model(2)).unwrap_err();
    assert!(failure.hint.unwrap().contains("--tokenizer tokenizer.json"));
    let image = Architecture::ConvClassifier(conv::Config::article(2));
    assert!(tokenizer(None, &image).unwrap().is_none());
    assert!(tokenizer(Some(Path::new("x")), &image).is_err());
}

#[test]
fn pictures_are_prepared_as_it_was_said() {
    let image = Architecture::ConvClassifier(conv::Config::article(2));
    let picture = |settings: &[(&str, &str)]| match preparing(settings).preparation(&image) {
        Ok(InputPreparation::Picture(preparation)) => Ok(preparation),
        Ok(InputPreparation::Text(_)) => panic!("an image model reads no text"),
        Err(failure) => Err(failure.message),
    };
    let plain = picture(&[]).unwrap();
    assert_eq!((plain.height, plain.mean, plain.std), (14, vec![0.0; 3], vec![1.0; 3]));
    let said = picture(&[("mean", "0.5"), ("std", "0.1, 0.2,0.3"), ("fit", "cover")]).unwrap();
    assert_eq!((said.mean, said.std, said.fit), (vec![0.5; 3], vec![0.1, 0.2, 0.3], Fit::Cover));
    assert!(picture(&[("std", "0")]).is_err());
    assert!(picture(&[("mean", "1,2")]).is_err());
    assert!(picture(&[("tokens_max", "3")]).is_err());
    assert!(preparing(&[("fit", "cover")]).preparation(&text_model(2)).is_err());
}

#[test]
fn a_value_that_a_setting_does_not_take_is_named() {
    for (key, value) in [("objective", "x"), ("fit", "x"), ("tokens_max", "0"), ("mean", "a"), ("std", "inf")]
    {
        let failure = Preparing::default().set(key, value).unwrap_err();
        assert!(failure.message.starts_with(&format!("--set {key}={value}: expected ")), "{failure}");
    }
}
