//! What an input costs before any network sees it: tokenizing a text, decoding and resizing a picture.
//!
//! Sketch: 200 bytes of text are some 40 tokens; a 640 × 480 JPEG is 0.9 MB of pixels to decode and to shrink.

use std::io::Cursor;

use criterion::Criterion;
use sconce::image::{Fit, Preparation, decode};
use sconce::text::{Kind, Recipe};

const TEXT: &str = "the rock is destined to be the new star and that he's going to make a splash even greater than \
                    the ones before , and nobody in the audience will want to miss a single minute of it .";

pub(crate) fn benches(criterion: &mut Criterion) {
    for (name, kind) in [("word", Kind::Word), ("byte-pair", Kind::BytePair)] {
        let recipe = Recipe { kind, vocabulary: 1000, frequency_min: 1, ..Recipe::default() };
        let tokenizer = recipe.train(&mut [TEXT].into_iter()).expect("a tokenizer");
        criterion.bench_function(&format!("prepare/tokenize {name}"), |bencher| {
            bencher.iter(|| tokenizer.encode(TEXT));
        });
    }
    let picture =
        image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([(x % 256) as u8, (y % 256) as u8, 99]));
    let mut jpeg = Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("a JPEG");
    let jpeg = jpeg.into_inner();
    let preparation = Preparation {
        channels: 3,
        height: 14,
        width: 14,
        fit: Fit::Stretch,
        mean: vec![0.5; 3],
        std: vec![0.5; 3],
    };
    criterion.bench_function("prepare/decode and resize 640x480 JPEG", |bencher| {
        bencher.iter(|| preparation.normalise(&preparation.resize(&decode(&jpeg).expect("a picture"))));
    });
}
