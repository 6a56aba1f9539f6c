//! Bad calls: each with its status and the words that clients of other servers know.

use std::time::Duration;

use axum::Router;
use axum::http::Method;
use bytes::Bytes;
use futures_util::StreamExt as _;
use sconce::http::Config;
use tonic::{Code, Request, Status};
use tower::ServiceExt as _;

use crate::support::door::{Ask, Served, config};
use crate::support::grpc::inference::infer_parameter::ParameterChoice;
use crate::support::grpc::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::support::grpc::inference::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, InferParameter, ModelInferRequest,
    ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse,
    SystemSharedMemoryStatusRequest, SystemSharedMemoryStatusResponse,
};
use crate::support::grpc::{Grpc, input, raw, strings, texts, with_header};
use crate::support::{models, pictures};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

fn served(config: Config) -> (Served, Grpc<Router>) {
    let served = Served::with(config, |folder| {
        models::tiny_text(folder, "sentiment", 1);
        models::tiny_image(folder, "digits", 1);
    });
    let client = Grpc::of(&served.door);
    (served, client)
}

fn text(element: &[u8]) -> ModelInferRequest {
    raw("sentiment", input("text", "BYTES", &[1, 1]), strings(&[element]))
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

fn output(name: &str, classes: Option<i64>) -> ModelInferRequest {
    let classes =
        classes.map(|count| ("classification".to_owned(), parameter(ParameterChoice::Int64Param(count))));
    let output =
        InferRequestedOutputTensor { name: name.to_owned(), parameters: classes.into_iter().collect() };
    ModelInferRequest { outputs: vec![output], ..texts("sentiment", &["good"]) }
}

fn said(name: &str, choice: ParameterChoice) -> ModelInferRequest {
    let parameters = [(name.to_owned(), parameter(choice))].into();
    ModelInferRequest { parameters, ..texts("sentiment", &["good"]) }
}

/// What is sent, the status, and words of its message.
type Case = (&'static str, ModelInferRequest, Code, &'static str);

async fn check(cases: Vec<Case>) {
    let (_served, client) = served(config());
    for (what, request, code, words) in cases {
        let status = client.infer(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{what}: {status:?}");
        assert!(status.message().contains(words), "{what}: {:?} does not say {words:?}", status.message());
    }
}

#[tokio::test]
async fn a_request_that_does_not_fit_its_model_is_refused_in_known_words() {
    let version =
        |version: &str| ModelInferRequest { model_version: version.to_owned(), ..texts("sentiment", &["a"]) };
    check(vec![
        (
            "no name",
            ModelInferRequest::default(),
            Code::NotFound,
            "Request for unknown model: '' is not found",
        ),
        ("no version at all", version("latest"), Code::InvalidArgument, "specified version string 'latest'"),
        (
            "another input",
            raw("sentiment", input("words", "BYTES", &[1, 1]), strings(&["a"])),
            Code::InvalidArgument,
            "unexpected inference input 'words' for model 'sentiment'",
        ),
        (
            "no datatype",
            raw("sentiment", input("text", "TEXT", &[1, 1]), vec![0; 4]),
            Code::InvalidArgument,
            "unknown datatype 'TEXT' of input 'text' for model 'sentiment'",
        ),
        (
            "too many rows",
            raw("sentiment", input("text", "BYTES", &[257, 1]), strings(&vec!["a"; 257])),
            Code::InvalidArgument,
            "inference request batch-size must be <= 256 for 'sentiment'",
        ),
    ])
    .await;
}

#[tokio::test]
async fn elements_that_cannot_be_read_are_refused_in_known_words() {
    let two = |mut request: ModelInferRequest| {
        request.raw_input_contents.push(Bytes::from_static(b"more"));
        request
    };
    let mut both = texts("sentiment", &["good"]);
    both.raw_input_contents.push(strings(&["good"]));
    check(vec![
        (
            "no elements",
            ModelInferRequest { raw_input_contents: Vec::new(), ..text(b"a") },
            Code::InvalidArgument,
            "unable to find data for input tensor 'text' for model 'sentiment' in request.",
        ),
        (
            "more elements than inputs",
            two(text(b"a")),
            Code::InvalidArgument,
            "expected 1 raw_input_contents",
        ),
        (
            "elements twice",
            both,
            Code::InvalidArgument,
            "contents field must not be specified when using raw_input_contents for 'text' for model 'sentiment'",
        ),
        (
            "cut elements",
            raw("sentiment", input("text", "BYTES", &[1, 1]), Bytes::from_static(b"\x09\0\0\0a")),
            Code::InvalidArgument,
            "incomplete string data for inference input 'text' for model 'sentiment'",
        ),
        ("an empty text", text(b"  "), Code::InvalidArgument, "row 0 of the batch: "),
        ("bytes that are no text", text(b"\xff\xfe"), Code::InvalidArgument, "not UTF-8"),
        (
            "bytes that are no picture",
            raw("digits", input("image", "BYTES", &[1, 1]), strings(&[b"no picture"])),
            Code::InvalidArgument,
            "row 0 of the batch: ",
        ),
        (
            "a cut picture",
            raw("digits", input("image", "BYTES", &[1, 1]), strings(&[&pictures::png(1, 16, 16)[..60]])),
            Code::InvalidArgument,
            "row 0 of the batch: ",
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_outputs_and_parameters_are_refused_in_known_words() {
    use ParameterChoice as Choice;
    check(vec![
        (
            "no such output",
            output("logits", None),
            Code::InvalidArgument,
            "unexpected inference output 'logits' for model 'sentiment'",
        ),
        (
            "no classes",
            output("scores", Some(0)),
            Code::InvalidArgument,
            "invalid value for 'classification' parameter",
        ),
        (
            "a reserved parameter",
            said("triton_x", Choice::BoolParam(true)),
            Code::InvalidArgument,
            "reserved for Triton usage",
        ),
        (
            "a bad timeout",
            said("timeout", Choice::StringParam("x".to_owned())),
            Code::InvalidArgument,
            "invalid value type for 'timeout' parameter",
        ),
        (
            "a bad priority",
            said("priority", Choice::Int64Param(-1)),
            Code::InvalidArgument,
            "invalid value for 'priority'",
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_this_server_does_not_do_is_said() {
    let (_served, client) = served(config());
    let path = "/inference.GRPCInferenceService/SystemSharedMemoryStatus";
    let status = client
        .call::<_, SystemSharedMemoryStatusResponse>(path, SystemSharedMemoryStatusRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("shares no memory with its clients"), "{status:?}");
    let path = "/inference.GRPCInferenceService/CudaSharedMemoryRegister";
    let request = CudaSharedMemoryRegisterRequest::default();
    let status = client.call::<_, CudaSharedMemoryRegisterResponse>(path, request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut shared = text(b"good");
    let region = parameter(ParameterChoice::StringParam("region".to_owned()));
    shared.inputs[0].parameters.insert("shared_memory_region".to_owned(), region);
    assert_eq!(client.infer(shared).await.unwrap_err().code(), Code::Unimplemented);
    for path in ["/inference.GRPCInferenceService/Nothing", "/some.other.Service/Method"] {
        let status = client.call::<_, ServerLiveResponse>(path, ServerLiveRequest {}).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
}

#[tokio::test]
async fn models_that_are_not_there_are_not_ready() {
    let (_served, client) = served(config());
    let ready = async |name: &str, version: &str| {
        let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        let path = "/inference.GRPCInferenceService/ModelReady";
        client.call::<_, ModelReadyResponse>(path, request).await
    };
    for (name, version) in [("nothing", ""), ("sentiment", "9")] {
        let answer = ready(name, version).await;
        let not = answer.map_or(true, |answer| !answer.into_inner().ready);
        assert!(not, "{name} {version}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_compressed_or_not() {
    let (served, client) = served(Config { body_bytes_max: 2000, ..config() });
    let exact = |bytes: usize| text(&vec![b'a'; bytes]);
    client.infer(exact(1500)).await.unwrap();
    let status = client.infer(exact(2000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.message(), "the message has more than the 2000 bytes that are taken");

    // A thousand times smaller than what comes out of it.
    let zipped = Compressed::of(&exact(1_000_000)).ask(&served.door).await;
    assert_eq!(zipped.code(), Code::ResourceExhausted, "{zipped:?}");
    let fits = Compressed::of(&exact(1500)).ask(&served.door).await;
    assert_eq!(fits.code(), Code::Ok, "{fits:?}");
}

#[tokio::test]
async fn a_message_of_very_many_fields_is_refused_before_it_takes_memory() {
    let (served, client) = served(config());
    let many =
        |count| ModelInferRequest { inputs: vec![InferInputTensor::default(); count], ..text(b"good") };
    let status = client.infer(many(1024)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(status.message(), "the message has more than the 1024 fields that are taken");
    let zipped = Compressed::of(&many(1_000_000)).ask(&served.door).await;
    assert_eq!(zipped.message(), status.message());
    let fits = client.infer(many(1000)).await.unwrap_err();
    assert!(fits.message().starts_with("unknown datatype '' of input ''"), "{fits:?}");
}

/// A call whose message is compressed by hand.
struct Compressed(Vec<u8>);

impl Compressed {
    fn of(message: &ModelInferRequest) -> Self {
        use prost::Message as _;
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&message.encode_to_vec()).unwrap();
        let message = gzip.finish().unwrap();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Self([&[1][..], &length, &message].concat())
    }

    async fn ask(self, door: &Router) -> Status {
        let ask = Ask::post(INFER).header("content-type", "application/grpc").header("grpc-encoding", "gzip");
        let answer = ask.header("te", "trailers").body(self.0).of(door).await;
        if answer.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip") {
            assert_eq!(answer.body.first(), Some(&1), "a compressed call is answered compressed");
        }
        Status::from_header_map(&answer.headers).unwrap_or_else(|| Status::ok(""))
    }
}

#[tokio::test]
async fn a_call_ends_at_its_own_time() {
    let (_served, client) = served(config());
    let mut request = Request::new(texts("sentiment", &["good"; 256]));
    request.set_timeout(Duration::from_nanos(1));
    let status = client.infer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let bad = with_header(texts("sentiment", &["good"]), "grpc-timeout", "soon");
    let status = client.infer(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("grpc-timeout is \"soon\""), "{status:?}");

    // The protocol's own, in microseconds: as Triton, the server is what is not available.
    let own = said("timeout", ParameterChoice::Int64Param(1));
    let status = client.infer(own).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().starts_with("Request timeout expired"), "{status:?}");
}

#[tokio::test]
async fn a_message_that_does_not_arrive_in_time_is_given_up() {
    let (served, _) = served(Config { body_timeout: Duration::from_millis(20), ..config() });
    // The beginning of a message of 9 bytes, and then nothing.
    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(&b"\0\0\0\0\x09sen"[..])]);
    let body = axum::body::Body::from_stream(begun.chain(futures_util::stream::pending()));
    let request =
        axum::http::Request::post(INFER).header("content-type", "application/grpc").body(body).unwrap();
    let answer = served.door.clone().oneshot(request).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "the message did not arrive within 20 ms")
    );
}

#[tokio::test]
async fn a_request_that_is_no_call_is_refused_in_http_as_well() {
    let (served, _) = served(config());
    let json = Ask::post(INFER).header("content-type", "application/json").body("{}").of(&served.door).await;
    assert_eq!((json.status.as_u16(), json.headers["grpc-status"].as_bytes()), (415, &b"12"[..]));
    let web = Ask::post(INFER).header("content-type", "application/grpc-web").body("").of(&served.door).await;
    assert_eq!(web.status.as_u16(), 415);
    let get = Ask::new(&Method::GET, INFER).of(&served.door).await;
    assert_eq!(get.status.as_u16(), 405);
    let broken = Ask::post(INFER)
        .header("content-type", "application/grpc")
        .body(&b"\0\0\0\0\x05\xff\xff\xff\xff\xff"[..]);
    let broken = broken.of(&served.door).await;
    assert_eq!((broken.status.as_u16(), broken.headers.contains_key("grpc-status")), (200, true));
}

#[tokio::test]
async fn outcomes_are_counted_by_method_as_their_http_status() {
    let (served, client) = served(config());
    client.infer(texts("nothing", &["a"])).await.unwrap_err();
    client.infer(texts("sentiment", &["a"])).await.unwrap();
    let metrics = Ask::get("/metrics").of(&served.door).await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for status in ["200", "404"] {
        let counted = metrics.lines().any(|line| {
            line.starts_with("sconce_requests_total")
                && line.contains(&format!("route=\"{INFER}\""))
                && line.contains(&format!("status=\"{status}\""))
        });
        assert!(counted, "{status}: {metrics}");
    }
}
