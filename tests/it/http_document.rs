//! The API's document: what is served is what is committed, what is routed is documented, what is refused is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::http::Method;
use serde_json::Value;

use crate::support::door::{Ask, config, door};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn document() -> Value {
    let served = Ask::get("/openapi.json").of(&door(config())).await;
    assert_eq!(served.headers["content-type"], "application/json");
    served.json()
}

#[tokio::test]
async fn what_is_committed_is_what_is_served() {
    let committed = fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let generated = sconce::http::openapi_yaml().unwrap();
    assert!(committed == generated, "openapi.yaml is out of date: run `sconce openapi > openapi.yaml`");
    assert_eq!(document().await, serde_json::to_value(sconce::http::openapi()).unwrap());
}

#[test]
fn what_is_committed_of_the_admin_listener_is_what_it_answers() {
    let committed = fs::read_to_string(root().join("openapi-admin.yaml")).unwrap();
    let generated = sconce::http::admin_openapi_yaml().unwrap();
    assert!(
        committed == generated,
        "openapi-admin.yaml is out of date: run `sconce openapi --admin > openapi-admin.yaml`"
    );
}

#[tokio::test]
async fn every_documented_operation_is_routed_and_has_a_name_of_its_own() {
    let document = document().await;
    let door = door(config());
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = Ask::new(&method, &path.replace("{name}", "x")).of(&door).await;
            let code = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["code"].clone();
            assert!(
                code != "not_found" && code != "method_not_allowed",
                "{method} {path} is documented and not routed"
            );
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} names two operations");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}");
            // Explanations are never given, and that is documented.
            assert!(operation["responses"]["200"].is_object() || name == "explanations", "{name}");
        }
    }
    assert!(names.len() >= 10, "{names:?}");
}

#[tokio::test]
async fn every_code_is_documented_and_asserted_by_a_test() {
    let document = document().await;
    let codes = document["components"]["schemas"]["Code"].clone();
    let codes: Vec<String> = match codes["enum"].as_array() {
        Some(codes) => codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
        None => codes["oneOf"]
            .as_array()
            .unwrap_or_else(|| panic!("{codes}"))
            .iter()
            .map(|code| code["enum"][0].as_str().unwrap().to_owned())
            .collect(),
    };
    assert!(codes.len() > 30, "{codes:?}");
    let mut tests = String::new();
    let mut folders = vec![root().join("src/http"), root().join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "descriptors") {
                let text = fs::read_to_string(&path).unwrap();
                let from = if path.starts_with(root().join("tests")) {
                    0
                } else {
                    text.find("mod tests").unwrap_or(text.len())
                };
                tests.push_str(&text[from..]);
            }
        }
    }
    for code in codes {
        let variant =
            code.split('_').fold(String::new(), |name, word| name + &word[..1].to_uppercase() + &word[1..]);
        let tested = tests.contains(&format!("\"{code}\"")) || tests.contains(&format!("Code::{variant}"));
        assert!(tested, "no test asserts the code {code}");
    }
}
