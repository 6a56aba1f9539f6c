//! Every way to ask for the scores of a text or a picture: the request of each protocol, and where its answer has them.

use axum::Router;
use axum::http::Method;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::door::Ask;
use crate::support::grpc::{Grpc, input, raw, singles, strings, texts};

/// The bits of each label's score, in the order of the labels, which is that of the alphabet.
pub type Bits = Vec<u32>;

/// A protocol's name, and its answer to one row.
pub type Way<'a> = (&'static str, LocalBoxFuture<'a, Bits>);

/// What the native API answers.
pub async fn native(door: &Router, ask: Ask) -> Bits {
    labelled(&json_of(door, ask).await["results"][0]["predictions"])
}

/// Every way to ask the model `sentiment` about a text.
pub fn of_text<'a>(door: &'a Router, text: &'a str) -> Vec<Way<'a>> {
    let plain = |path: &str| Ask::post(path).header("content-type", "text/plain").body(text.to_owned());
    let oip = json!({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}]});
    let client = Grpc::of(door);
    let typed = texts("sentiment", &[text]);
    let as_raw = raw("sentiment", input("text", "BYTES", &[1, 1]), strings(&[text]));
    let instances = |more: &Value| {
        let mut body = json!({"instances": [text]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let parameters = instances(&json!({"parameters": {"model": "sentiment"}}));
    let lines = format!("{}\n", json!({"inputs": text, "model": "sentiment"}));
    let lines = Ask::post("/invocations").header("content-type", "application/jsonlines").body(lines);
    let in_bytes = tensor(&json!({"name": "text", "datatype": "BYTES", "shape": [1]}), &strings(&[text]));
    let own = json!({"model": "sentiment", "input": text});
    let v1 = "/v1/models/sentiment:predict";
    let one_of = |pointer: &'static str| move |body: &Value| labelled(body.pointer(pointer).unwrap());
    vec![
        json_way(
            door,
            "native, JSON",
            Ask::json("/v1/text/classify", &own),
            one_of("/results/0/predictions"),
        ),
        json_way(
            door,
            "native, text",
            plain("/v1/text/classify?model=sentiment"),
            one_of("/results/0/predictions"),
        ),
        json_way(door, "OIP, JSON", Ask::json("/v2/models/sentiment/infer", &oip), output),
        bytes_way(door, "OIP, binary", ("/v2/models/sentiment/infer", in_bytes)),
        raw_way(door, "OIP, raw", ("/v2/models/sentiment/infer", text.to_owned().into())),
        grpc_way(client.clone(), "gRPC, typed", typed),
        grpc_way(client, "gRPC, raw", as_raw),
        json_way(door, "v1 predict, rows", Ask::json(v1, &instances(&json!({}))), |body| {
            listed(&body["predictions"][0])
        }),
        json_way(door, "v1 predict, a column", Ask::json(v1, &json!({"inputs": [text]})), |body| {
            listed(&body["outputs"][0])
        }),
        json_way(door, "v1 predict, one", Ask::json(v1, &json!({"inputs": text})), |body| {
            listed(&body["outputs"])
        }),
        json_way(
            door,
            "v1 classify",
            Ask::json("/v1/models/sentiment:classify", &json!({"examples": [{"text": text}]})),
            pairs,
        ),
        json_way(door, "TorchServe", plain("/predictions/sentiment"), by_label),
        json_way(door, "TEI", Ask::json("/predict", &json!({"inputs": text})), labelled),
        json_way(door, "Hugging Face", Ask::json("/", &json!({"inputs": text})), one_of("/0")),
        json_way(
            door,
            "SageMaker, text",
            plain("/invocations").header("x-amzn-sagemaker-custom-attributes", "model=sentiment"),
            labelled,
        ),
        json_way(door, "SageMaker, JSON", Ask::json("/invocations", &parameters), one_of("/predictions/0")),
        json_way(door, "SageMaker, JSON lines", lines, labelled),
        json_way(door, "Vertex", Ask::json("/vertex", &parameters), one_of("/predictions/0")),
        json_way(door, "Azure", Ask::json("/score", &parameters), one_of("/predictions/0")),
    ]
}

/// Every way to ask the model `sign-digits` about a picture.
pub fn of_picture<'a>(door: &'a Router, png: &Bytes) -> Vec<Way<'a>> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(png);
    let decoded = image::load_from_memory(png).unwrap().to_rgb8();
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let pixels = decoded.into_raw();
    let infer = "/v2/models/sign-digits/infer";
    let image = json!({"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [encoded],
        "parameters": {"content_type": "base64"}});
    let in_json = |input: &Value| Ask::json(infer, &json!({"inputs": [input]}));
    let raster = |data: &Value| json!({"name": "pixels", "datatype": "UINT8", "shape": [1, height, width, 3], "data": data});
    let mut described = raster(&Value::Null);
    described.as_object_mut().unwrap().remove("data");
    let in_bytes = tensor(&json!({"name": "image", "datatype": "BYTES", "shape": [1]}), &strings(&[png]));
    let pixel_bytes = tensor(&described, &pixels);
    let client = Grpc::of(door);
    let as_bytes = raw("sign-digits", input("image", "BYTES", &[1, 1]), strings(&[png]));
    let as_pixels = raw("sign-digits", input("pixels", "UINT8", &[1, height, width, 3]), pixels.clone());
    let instances = json!({"instances": [{"b64": encoded}]});
    let parameters = json!({"instances": [{"b64": encoded}], "parameters": {"model": "sign-digits"}});
    let png_to = |path: &str| Ask::post(path).header("content-type", "image/png").body(png.clone());
    let own = "/v1/image/classify?model=sign-digits";
    let one_of = |pointer: &'static str| move |body: &Value| labelled(body.pointer(pointer).unwrap());
    vec![
        json_way(
            door,
            "native",
            Ask::new(&Method::PUT, own).body(png.clone()),
            one_of("/results/0/predictions"),
        ),
        json_way(door, "OIP, base64", in_json(&image), output),
        json_way(door, "OIP, pixels", in_json(&raster(&json!(pixels))), output),
        bytes_way(door, "OIP, binary", (infer, in_bytes)),
        bytes_way(door, "OIP, binary pixels", (infer, pixel_bytes)),
        raw_way(door, "OIP, raw", (infer, png.clone())),
        grpc_way(client.clone(), "gRPC", as_bytes),
        grpc_way(client, "gRPC, pixels", as_pixels),
        json_way(door, "v1 predict", Ask::json("/v1/models/sign-digits:predict", &instances), |body| {
            listed(&body["predictions"][0])
        }),
        json_way(
            door,
            "TorchServe",
            Ask::new(&Method::PUT, "/predictions/sign-digits").body(png.clone()),
            by_label,
        ),
        json_way(door, "SageMaker", png_to("/invocations"), labelled),
        json_way(door, "Vertex", Ask::json("/vertex", &parameters), one_of("/predictions/0")),
        json_way(door, "Azure", png_to("/score"), labelled),
    ]
}

fn json_way<'a>(
    door: &'a Router,
    name: &'static str,
    ask: Ask,
    read: impl Fn(&Value) -> Bits + 'a,
) -> Way<'a> {
    (name, Box::pin(async move { read(&json_of(door, ask).await) }))
}

/// A binary tensor in, binary scores out.
fn bytes_way<'a>(
    door: &'a Router,
    name: &'static str,
    (path, (head, body)): (&str, (usize, Bytes)),
) -> Way<'a> {
    raw_scores(
        door,
        name,
        Ask::post(path).header("inference-header-content-length", &head.to_string()).body(body),
    )
}

/// A body that is the input, binary scores out.
fn raw_way<'a>(door: &'a Router, name: &'static str, (path, body): (&str, Bytes)) -> Way<'a> {
    raw_scores(door, name, Ask::post(path).header("inference-header-content-length", "0").body(body))
}

fn raw_scores<'a>(door: &'a Router, name: &'static str, ask: Ask) -> Way<'a> {
    let read = async move {
        let answer = whole(door, ask).await;
        let head: usize =
            answer.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
        let said: Value = serde_json::from_slice(&answer.body[..head]).unwrap();
        assert_eq!(said["outputs"][0]["name"], "scores", "{said}");
        let bytes = said["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap();
        let scores = &answer.body[head..head + usize::try_from(bytes).unwrap()];
        scores.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    };
    (name, Box::pin(read))
}

fn grpc_way<'a>(
    client: Grpc<Router>,
    name: &'static str,
    request: crate::support::grpc::inference::ModelInferRequest,
) -> Way<'a> {
    let read = async move {
        let answer = client.infer(request).await.unwrap();
        singles(&answer, "scores").into_iter().map(f32::to_bits).collect()
    };
    (name, Box::pin(read))
}

/// A request with one binary tensor, and the length of its head.
fn tensor(described: &Value, data: &[u8]) -> (usize, Bytes) {
    let mut described = described.clone();
    described["parameters"] = json!({"binary_data_size": data.len()});
    let head = json!({"inputs": [described], "parameters": {"binary_data_output": true}}).to_string();
    (head.len(), [head.as_bytes(), data].concat().into())
}

async fn whole(door: &Router, ask: Ask) -> Answer {
    let answer = ask.of(door).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer
}

async fn json_of(door: &Router, ask: Ask) -> Value {
    whole(door, ask).await.json()
}

/// The text of a single, read as one: nothing in between rounds it.
fn bits(score: &Value) -> u32 {
    score.to_string().parse::<f32>().unwrap_or_else(|_| panic!("{score} is no score")).to_bits()
}

fn listed(scores: &Value) -> Bits {
    scores.as_array().unwrap_or_else(|| panic!("{scores} is no list")).iter().map(bits).collect()
}

/// Of `[{"label", "score"}]`.
fn labelled(list: &Value) -> Bits {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    sorted(list.iter().map(|one| (one["label"].as_str().unwrap(), &one["score"])))
}

/// Of `{label: score}`.
fn by_label(object: &Value) -> Bits {
    sorted(object.as_object().unwrap().iter().map(|(label, score)| (label.as_str(), score)))
}

/// Of `{"results": [[[label, score]]]}`.
fn pairs(body: &Value) -> Bits {
    let pairs = body["results"][0].as_array().unwrap_or_else(|| panic!("{body}"));
    sorted(pairs.iter().map(|pair| (pair[0].as_str().unwrap(), &pair[1])))
}

fn sorted<'a>(scores: impl Iterator<Item = (&'a str, &'a Value)>) -> Bits {
    let mut scores: Vec<_> = scores.collect();
    scores.sort_by_key(|(label, _)| *label);
    scores.into_iter().map(|(_, score)| bits(score)).collect()
}

/// Of the Open Inference Protocol's `scores`.
fn output(body: &Value) -> Bits {
    let outputs = body["outputs"].as_array().unwrap_or_else(|| panic!("{body}"));
    let scores = outputs.iter().find(|output| output["name"] == "scores").unwrap_or_else(|| panic!("{body}"));
    listed(&scores["data"])
}
