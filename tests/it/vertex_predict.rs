//! Google Vertex AI's contract, at this server's path and at the routes that the platform chooses.

use axum::http::Method;
use sconce::http::{Config, Platform};
use serde_json::{Value, json};

use crate::support::door::{Ask, Served, config, native_scores, scores};
use crate::support::models;

const TEXT: &str = "a good film, the best thing in years";
const HEALTH: &str = "/v1/endpoints/12/deployedModels/34";
const PREDICT: &str = "/v1/endpoints/12/deployedModels/34:predict";

fn served(platform: Platform) -> Served {
    Served::with(Config { platform, ..config() }, |folder| {
        models::tiny_text(folder, "sentiment", 1);
    })
}

fn chosen() -> Platform {
    Platform {
        health_route: Some(HEALTH.to_owned()),
        predict_route: Some(PREDICT.to_owned()),
        deployed_model_id: Some("34".to_owned()),
        ..Platform::default()
    }
}

#[tokio::test]
async fn instances_have_the_native_scores_wherever_they_are_asked() {
    let served = served(chosen());
    let native = native_scores(&served.door, "sentiment", TEXT).await;
    for path in [PREDICT, "/vertex"] {
        let body = json!({"instances": [TEXT, {"text": "bad"}], "parameters": {}});
        let answer = Ask::json(path, &body).of(&served.door).await.json();
        assert_eq!(scores(&answer["predictions"][0]), native, "{path}");
        assert_eq!(answer["predictions"].as_array().unwrap().len(), 2);
        assert_eq!((&answer["deployedModelId"], &answer["model"]), (&json!("34"), &json!("sentiment")));
        let best = Ask::json(path, &json!({"instances": [TEXT], "parameters": {"top_k": 1}}));
        assert_eq!(best.of(&served.door).await.json()["predictions"][0].as_array().unwrap().len(), 1);
    }
    assert_eq!(Ask::get(HEALTH).of(&served.door).await.json(), json!({"status": "ready"}));
    assert_eq!(Ask::new(&Method::HEAD, HEALTH).of(&served.door).await.status, 200);
}

#[tokio::test]
async fn a_chosen_route_goes_before_this_servers_own() {
    let platform = Platform { predict_route: Some("/predict".to_owned()), ..Platform::default() };
    let served = served(platform);
    let answer = Ask::json("/predict", &json!({"instances": [TEXT]})).of(&served.door).await.json();
    assert!(answer["predictions"].is_array() && answer.get("deployedModelId").is_none(), "{answer}");
    assert_eq!(Ask::get(HEALTH).of(&served.door).await.status, 404, "none was chosen for health");
}

#[tokio::test]
async fn refusals_are_those_of_googles_apis() {
    let served = served(chosen());
    let json = |body: Value| Ask::json(PREDICT, &body);
    let cases = [
        (json(json!({"instances": [TEXT, 3]})), 400, "INVALID_ARGUMENT", "instances[1]: expected a text"),
        (json(json!({"instances": []})), 400, "INVALID_ARGUMENT", "the list of inputs is empty"),
        (json(json!({"instances": "a"})), 400, "INVALID_ARGUMENT", "\"instances\" is a string"),
        (
            json(json!({"instances": ["a"], "parameters": {"temperature": 1}})),
            400,
            "INVALID_ARGUMENT",
            "\"temper",
        ),
        (Ask::get("/vertex"), 405, "UNIMPLEMENTED", "/vertex does not take GET"),
    ];
    for (ask, status, word, message) in cases {
        let answer = ask.of(&served.door).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["error"]["status"]), (status, &json!(word)), "{body}");
        assert_eq!(body["error"]["code"], status);
        assert!(body["error"]["message"].as_str().unwrap().starts_with(message), "{body}");
    }
}
