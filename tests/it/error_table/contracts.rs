//! What is asked of each protocol to make each error happen.

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use super::When;
use super::places::BODY_BYTES_MAX;
use crate::support::grpc::inference::ModelInferRequest;
use crate::support::grpc::{input, raw, strings, texts};

/// A protocol.
pub(super) struct Contract {
    pub(super) name: &'static str,
    /// A sentence about its errors.
    pub(super) about: &'static str,
    /// What is asked to make this happen; `None` where it cannot.
    pub(super) ask: fn(When) -> Option<Sent>,
}

/// A request.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(super) call: Call,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Bytes,
}

/// How it is sent.
#[derive(Clone)]
pub(super) enum Call {
    Http,
    Infer(ModelInferRequest),
    Ready,
}

impl Sent {
    fn get(path: &str) -> Self {
        let (call, method, headers) = (Call::Http, Method::GET, Vec::new());
        Self { call, method, path: path.to_owned(), headers, body: Bytes::new() }
    }

    fn post(path: &str, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            headers: vec![("content-type", content_type)],
            body: body.into(),
            ..Self::get(path)
        }
    }

    fn json(path: &str, body: &Value) -> Self {
        Self::post(path, "application/json", body.to_string())
    }

    fn text(path: &str, body: &'static str) -> Self {
        Self::post(path, "text/plain", body)
    }

    fn not_json(path: &str) -> Self {
        Self::post(path, "application/json", "{'a'")
    }

    fn too_large(path: &str) -> Self {
        Self::post(path, "application/json", vec![b' '; BODY_BYTES_MAX + 1])
    }

    fn brotli(self) -> Self {
        Self { headers: vec![("content-type", "application/json"), ("content-encoding", "br")], ..self }
    }

    fn infer(request: ModelInferRequest) -> Self {
        Self { call: Call::Infer(request), ..Self::get("ModelInfer") }
    }

    /// In one line.
    pub(super) fn shown(&self) -> String {
        let mut line = match &self.call {
            Call::Http => format!("{} {}", self.method, self.path),
            Call::Ready => "ServerReady".to_owned(),
            Call::Infer(request) => return shown(request),
        };
        for (name, value) in self.headers.iter().filter(|(_, value)| *value != "application/json") {
            line = format!("{line} {name}: {value}");
        }
        let body = String::from_utf8_lossy(&self.body);
        match self.body.len() {
            0 => line,
            bytes if bytes > BODY_BYTES_MAX => format!("{line} {bytes} bytes"),
            bytes if body.contains('\0') => format!("{line} {bytes} bytes that are no message"),
            _ => format!("{line} {body}"),
        }
    }
}

fn shown(request: &ModelInferRequest) -> String {
    let inputs: Vec<String> = request
        .inputs
        .iter()
        .map(|input| format!("{} {} {:?}", input.name, input.datatype, input.shape))
        .collect();
    let version = Some(&request.model_version).filter(|version| !version.is_empty());
    let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
    format!("ModelInfer {}{version} [{}]", request.model_name, inputs.join(", "))
}

pub(super) const CONTRACTS: [Contract; 11] = [
    Contract {
        name: "Open Inference Protocol, REST",
        about: "`{\"error\": …}` in Triton's words. Clients of Triton read the status and this message.",
        ask: oip,
    },
    Contract {
        name: "Open Inference Protocol, gRPC",
        about: "A status and a message, the same words as over REST.",
        ask: grpc,
    },
    Contract {
        name: "TensorFlow Serving and KServe version 1",
        about: "`{\"error\": …}` in the words of TensorFlow Serving. The page of a model is this server's own as well, so \
                its errors are problem documents with that member.",
        ask: tensorflow,
    },
    Contract { name: "TorchServe", about: "`{\"code\", \"type\", \"message\"}`.", ask: torchserve },
    Contract {
        name: "text-embeddings-inference",
        about: "`{\"error\", \"error_type\"}`. The default model for texts answers.",
        ask: tei,
    },
    Contract {
        name: "Hugging Face pipelines",
        about: "Problem documents with `error` and `error_type`: the root is this server's front page as well.",
        ask: pipelines,
    },
    Contract {
        name: "Amazon SageMaker",
        about: "`{\"code\", \"type\", \"message\"}`, which the platform shows its caller as `ModelError` with the status.",
        ask: sagemaker,
    },
    Contract {
        name: "Amazon SageMaker, several models",
        about: "The same, with the statuses that the platform acts by: 404, 409 and 507.",
        ask: several_models,
    },
    Contract {
        name: "Google Vertex AI",
        about: "`{\"error\": {\"code\", \"message\", \"status\"}}`, as Google's APIs.",
        ask: vertex,
    },
    Contract {
        name: "Azure ML",
        about: "Problem documents. The platform answers 424 and puts the status into a header of its own.",
        ask: azure,
    },
    Contract { name: "Native", about: "Problem documents (RFC 9457).", ask: native },
];

fn oip(when: When) -> Option<Sent> {
    let infer = |model: &str, input: Value| {
        Sent::json(&format!("/v2/models/{model}/infer"), &json!({ "inputs": [input] }))
    };
    let text = json!({"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]});
    Some(match when {
        When::UnknownModel => infer("nobody", text),
        When::UnknownVersion => infer("sentiment/versions/9", text),
        When::WrongType => {
            infer("sentiment", json!({"name": "text", "datatype": "INT64", "shape": [1], "data": [7]}))
        }
        When::WrongShape => infer(
            "sentiment",
            json!({"name": "text", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]}),
        ),
        When::MissingInput => Sent::json("/v2/models/sentiment/infer", &json!({"inputs": []})),
        When::NotParsed => Sent::not_json("/v2/models/sentiment/infer"),
        When::TooLarge => Sent::too_large("/v2/models/sentiment/infer"),
        When::WrongContent => infer("sentiment", text).brotli(),
        When::Refused => infer("broken", text),
        When::Loading => infer("waiting", text),
        When::NotReady | When::Draining => Sent::get("/v2/health/ready"),
        When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => infer("sentiment", text),
        When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn grpc(when: When) -> Option<Sent> {
    let text = |model: &str| texts(model, &["good"]);
    let of = |input, data| Sent::infer(raw("sentiment", input, data));
    Some(match when {
        When::UnknownModel => Sent::infer(text("nobody")),
        When::UnknownVersion => {
            Sent::infer(ModelInferRequest { model_version: "9".to_owned(), ..text("sentiment") })
        }
        When::WrongType => of(input("text", "INT64", &[1, 1]), Bytes::from_static(&[0; 8])),
        When::WrongShape => of(input("text", "BYTES", &[1, 2]), strings(&["a", "b"])),
        When::MissingInput => {
            Sent::infer(ModelInferRequest { model_name: "sentiment".to_owned(), ..Default::default() })
        }
        When::TooLarge => of(input("text", "BYTES", &[1, 1]), strings(&["a".repeat(BODY_BYTES_MAX)])),
        When::WrongContent => {
            Sent::post("/inference.GRPCInferenceService/ModelInfer", "application/json", "{}")
        }
        When::Refused => Sent::infer(text("broken")),
        When::Loading => Sent::infer(text("waiting")),
        When::NotReady | When::Draining => Sent { call: Call::Ready, ..Sent::get("") },
        When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => Sent::infer(text("sentiment")),
        When::NotParsed => {
            let frame = &b"\0\0\0\0\x05\xff\xff\xff\xff\xff"[..];
            Sent::post("/inference.GRPCInferenceService/ModelInfer", "application/grpc", frame)
        }
        When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn tensorflow(when: When) -> Option<Sent> {
    let predict = |model: &str, instance: Value| {
        Sent::json(&format!("/v1/models/{model}:predict"), &json!({ "instances": [instance] }))
    };
    let text = json!("good");
    Some(match when {
        When::UnknownModel => predict("nobody", text),
        When::UnknownVersion => predict("sentiment/versions/9", text),
        When::WrongType => predict("sentiment", json!(true)),
        When::WrongShape => predict("digits", json!([[0.5, 0.5]])),
        When::MissingInput => Sent::json("/v1/models/sentiment:predict", &json!({})),
        When::NotParsed => Sent::not_json("/v1/models/sentiment:predict"),
        When::TooLarge => Sent::too_large("/v1/models/sentiment:predict"),
        When::WrongContent => predict("sentiment", text).brotli(),
        When::Refused => predict("broken", text),
        When::Loading => predict("waiting", text),
        When::NotReady => Sent::get("/v1/models/waiting/versions/1"),
        When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => predict("sentiment", text),
        When::Draining | When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn torchserve(when: When) -> Option<Sent> {
    let predict = |model: &str| Sent::text(&format!("/predictions/{model}"), "good");
    Some(match when {
        When::UnknownModel => predict("nobody"),
        When::UnknownVersion => predict("sentiment/9.0"),
        When::WrongType => Sent::json("/predictions/sentiment", &json!(true)),
        When::WrongShape => Sent::json("/predictions/digits", &json!([[0.5, 0.5]])),
        When::MissingInput => Sent::text("/predictions/sentiment", ""),
        When::NotParsed => Sent::not_json("/predictions/sentiment"),
        When::TooLarge => Sent::too_large("/predictions/sentiment"),
        When::WrongContent => {
            Sent::post("/predictions/sentiment", "application/x-www-form-urlencoded", "good")
        }
        When::Refused => predict("broken"),
        When::Loading => predict("waiting"),
        When::NotReady | When::Draining => Sent::get("/ping"),
        When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => predict("sentiment"),
        When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn tei(when: When) -> Option<Sent> {
    let predict = |inputs: Value| Sent::json("/predict", &json!({ "inputs": inputs }));
    Some(match when {
        When::WrongType => predict(json!(3)),
        When::WrongShape => predict(json!(["a", "b"])),
        When::MissingInput => Sent::json("/predict", &json!({})),
        When::NotParsed => Sent::not_json("/predict"),
        When::TooLarge => Sent::too_large("/predict"),
        When::WrongContent => predict(json!("good")).brotli(),
        When::NotReady | When::Draining => Sent::get("/health"),
        When::Refused | When::Loading | When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => {
            predict(json!("good"))
        }
        // No model is named.
        When::UnknownModel | When::UnknownVersion | When::LoadedAlready | When::NoRoom | When::NoModel => {
            return None;
        }
    })
}

/// What the paths that take any body are asked.
fn any_body(path: &str, when: When) -> Option<Sent> {
    let with = |parameters: Value| Sent::json(path, &json!({"inputs": "good", "parameters": parameters}));
    Some(match when {
        When::UnknownModel => with(json!({"model": "nobody"})),
        When::UnknownVersion => with(json!({"model": "sentiment", "version": "9"})),
        When::WrongType => Sent::json(path, &json!({"inputs": 3})),
        When::WrongShape => {
            Sent::json(path, &json!({"inputs": [[0.5, 0.5]], "parameters": {"model": "digits"}}))
        }
        When::MissingInput => Sent::text(path, ""),
        When::NotParsed => Sent::not_json(path),
        When::TooLarge => Sent::too_large(path),
        When::WrongContent => Sent::post(path, "text/csv", "good"),
        When::Refused | When::Loading | When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => {
            Sent::json(path, &json!({"inputs": "good"}))
        }
        When::NotReady | When::Draining | When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn pipelines(when: When) -> Option<Sent> {
    any_body("/", when)
}

fn sagemaker(when: When) -> Option<Sent> {
    match when {
        When::NotReady | When::Draining => Some(Sent::get("/ping")),
        _ => any_body("/invocations", when),
    }
}

fn several_models(when: When) -> Option<Sent> {
    let load = |name: &str, url: &str| Sent::json("/models", &json!({"model_name": name, "url": url}));
    Some(match when {
        When::UnknownModel => Sent::text("/models/nobody/invoke", "good"),
        When::Refused => Sent::text("/models/broken/invoke", "good"),
        When::Loading => Sent::text("/models/waiting/invoke", "good"),
        When::NotParsed => Sent::not_json("/models"),
        When::MissingInput => Sent::json("/models", &json!({})),
        When::LoadedAlready => load("sentiment", "/opt/ml/models/sentiment/model"),
        When::NoRoom => load("large", "/opt/ml/models/large/model"),
        When::NoModel => load("other", "/opt/ml/models/other/model"),
        _ => return None,
    })
}

fn vertex(when: When) -> Option<Sent> {
    let predict = |body: Value| Sent::json("/vertex", &body);
    let with = |parameters: Value| predict(json!({"instances": ["good"], "parameters": parameters}));
    Some(match when {
        When::UnknownModel => with(json!({"model": "nobody"})),
        When::UnknownVersion => with(json!({"model": "sentiment", "version": "9"})),
        When::WrongType => predict(json!({"instances": [3]})),
        When::WrongShape => predict(json!({"instances": [[[0.5, 0.5]]], "parameters": {"model": "digits"}})),
        When::MissingInput => predict(json!({})),
        When::NotParsed => Sent::not_json("/vertex"),
        When::TooLarge => Sent::too_large("/vertex"),
        When::WrongContent => predict(json!({"instances": ["good"]})).brotli(),
        When::NotReady | When::Draining => Sent::get("/health/ready"),
        When::Refused | When::Loading | When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => {
            predict(json!({"instances": ["good"]}))
        }
        When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}

fn azure(when: When) -> Option<Sent> {
    match when {
        When::NotReady | When::Draining => Some(Sent::get("/health/ready")),
        _ => any_body("/score", when),
    }
}

fn native(when: When) -> Option<Sent> {
    let classify = |body: Value| Sent::json("/v1/text/classify", &body);
    Some(match when {
        When::UnknownModel => classify(json!({"input": "good", "model": "nobody"})),
        When::UnknownVersion => classify(json!({"input": "good", "model": "sentiment", "version": "9"})),
        When::WrongType => classify(json!({"input": 3})),
        When::WrongShape => classify(json!({"input": [["good"]]})),
        When::MissingInput => classify(json!({})),
        When::NotParsed => Sent::not_json("/v1/text/classify"),
        When::TooLarge => Sent::too_large("/v1/text/classify"),
        When::WrongContent => Sent::post("/v1/text/classify", "text/csv", "good"),
        When::NotReady | When::Draining => Sent::get("/health/ready"),
        When::Refused | When::Loading | When::QueueFull | When::DeadlinePassed | When::AskedWhileDraining => {
            classify(json!({"input": "good"}))
        }
        When::LoadedAlready | When::NoRoom | When::NoModel => return None,
    })
}
