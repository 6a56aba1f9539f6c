//! Versions change while callers keep asking: no request fails, and a bad version never takes over.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::StatusCode;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::client::Client;
use crate::support::models;
use crate::support::server::Server;

const SWAPS: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_under_load_fail_no_request() {
    let folder = tempfile::tempdir().unwrap();
    models::tiny_text(folder.path(), "swapped", 1);
    let server = Server::start(folder.path());
    let client = Client::new(server.address);
    client.ready().await;

    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
            let client = Client::new(server.address);
            tokio::spawn(async move {
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let answer = client.post_json("/v1/text/classify", &json!({"input": "good film"})).await;
                    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
                    let version: u32 = answer.json()["version"].as_str().unwrap().parse().unwrap();
                    assert!(version >= last, "version {version} answered after {last}");
                    last = version;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for swap in 1..=SWAPS {
        let version = models::tiny_text(folder.path(), "swapped", u64::from(swap) + 1);
        assert_eq!(version.get(), swap + 1);
        let wanted = version.to_string();
        client
            .until("/v1/models/swapped", |answer| {
                let answer = answer.json();
                let versions = answer["versions"].as_array().unwrap();
                versions.iter().any(|found| found["version"] == *wanted && found["state"] == "ready")
            })
            .await;
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked > SWAPS as usize, "only {asked} requests ran beside the swaps");
    println!("{SWAPS} swaps, {asked} requests, 0 failed");
}

/// Copies version 1 to version 2 with one file changed, its digest in the manifest made right again when asked.
fn spoiled_copy(model: &Path, file: &str, digest: Digests, spoil: impl Fn(Vec<u8>) -> Vec<u8>) {
    let staging = model.join(".spoiled");
    fs::create_dir(&staging).unwrap();
    for entry in fs::read_dir(model.join("1")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), staging.join(entry.file_name())).unwrap();
    }
    let bytes = spoil(fs::read(staging.join(file)).unwrap());
    if let Digests::MadeRight = digest {
        let manifest = fs::read_to_string(staging.join("model.toml")).unwrap();
        let mut manifest: toml::Table = toml::from_str(&manifest).unwrap();
        let entry = manifest["files"][file].as_table_mut().unwrap();
        let sum = format!("{:x}", Sha256::digest(&bytes));
        entry.insert("bytes".into(), toml::Value::Integer(i64::try_from(bytes.len()).unwrap()));
        entry.insert("sha256".into(), toml::Value::String(sum));
        fs::write(staging.join("model.toml"), toml::to_string(&manifest).unwrap()).unwrap();
    }
    fs::write(staging.join(file), bytes).unwrap();
    fs::rename(&staging, model.join("2")).unwrap();
}

#[derive(Clone, Copy)]
enum Digests {
    MadeRight,
    AsTheyWere,
}

/// Rewrites a safetensors file tensor by tensor.
fn with_tensors(bytes: &[u8], change: impl Fn(&mut Vec<(String, Vec<usize>, Vec<u8>)>)) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut tensors: Vec<_> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_refused_with_its_reason_and_the_old_one_serves() {
    type Spoil = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;
    let weights = "weights.safetensors";
    let flip: Spoil = Box::new(|mut bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes
    });
    let missing: Spoil = Box::new(|bytes| with_tensors(&bytes, |tensors| drop(tensors.remove(0))));
    let extra: Spoil = Box::new(|bytes| {
        with_tensors(&bytes, |tensors| tensors.push(("stray.weight".into(), vec![1], vec![0; 4])))
    });
    let nan: Spoil = Box::new(|bytes| {
        with_tensors(&bytes, |tensors| tensors[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes()))
    });
    let golden: Spoil = Box::new(|bytes| {
        let mut samples: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let first = find_logits(&mut samples).unwrap();
        first[0] = json!(first[0].as_f64().unwrap() + 1.0);
        serde_json::to_vec(&samples).unwrap()
    });
    let cases: [(&str, &str, Digests, Spoil, &[&str]); 5] = [
        ("flipped", weights, Digests::AsTheyWere, flip, &["weights.safetensors", "sha256"]),
        ("missing", weights, Digests::MadeRight, missing, &["weights.safetensors", "missing"]),
        ("extra", weights, Digests::MadeRight, extra, &["stray.weight"]),
        ("nan", weights, Digests::MadeRight, nan, &["NaN"]),
        ("golden", "golden.json", Digests::MadeRight, golden, &["golden"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, ..) in &cases {
        models::tiny_text(folder.path(), name, 7);
    }
    let server = Server::start(folder.path());
    let client = Client::new(server.address);
    client.ready().await;
    for (name, file, digests, spoil, words) in cases {
        spoiled_copy(&folder.path().join(name), file, digests, spoil);
        let refused = client
            .until(&format!("/v1/models/{name}"), |answer| {
                answer.json()["versions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|version| version["state"] == "failed")
            })
            .await
            .json();
        let versions = refused["versions"].as_array().unwrap();
        let failed = versions.iter().find(|version| version["version"] == "2").unwrap();
        let reason = failed["reason"].as_str().unwrap();
        assert!(words.iter().all(|word| reason.contains(word)), "{name}: {reason}");
        println!("{name}: refused: {reason}");
        let serving = versions.iter().find(|version| version["version"] == "1").unwrap();
        assert_eq!(serving["state"], "ready", "{name}");
        let body = json!({"model": name, "input": "good film"});
        let answer = client.post_json("/v1/text/classify", &body).await;
        assert_eq!((answer.status, answer.json()["version"].as_str()), (StatusCode::OK, Some("1")), "{name}");
    }
}

/// The first `logits` list anywhere in the file.
fn find_logits(value: &mut serde_json::Value) -> Option<&mut Vec<serde_json::Value>> {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter_mut()
            .find_map(|(key, value)| if key == "logits" { value.as_array_mut() } else { find_logits(value) }),
        serde_json::Value::Array(items) => items.iter_mut().find_map(find_logits),
        _ => None,
    }
}
