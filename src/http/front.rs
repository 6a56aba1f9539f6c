//! The front page: what is here, and one command to try.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{Html, IntoResponse, Response};

use super::ask::answering;
use super::server::Gateway;
use crate::value::Task;

/// What is here.
///
/// A page for browsers, plain text for everything else.
#[utoipa::path(
    get,
    path = "/",
    tag = "operations",
    responses((status = 200, description = "What is here, and one command to try", content(
        (String = "text/plain"),
        (String = "text/html"),
    ))),
)]
pub(super) async fn front(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let models = models(&gateway);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    let host = host.unwrap_or("localhost:8080");
    if wants_html(&headers) {
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
        let name = HeaderName::from_static("content-security-policy");
        ([(name, policy)], Html(page(&models, host))).into_response()
    } else {
        text(&models, host).into_response()
    }
}

/// A model that answers.
struct Loaded {
    name: String,
    version: String,
    task: Task,
}

fn models(gateway: &Gateway) -> Vec<Loaded> {
    let models = gateway.registry.models();
    let loaded = models.iter().filter_map(answering).map(|entry| Loaded {
        name: entry.model.to_string(),
        version: entry.version.to_string(),
        task: entry.handle.manifest().task,
    });
    loaded.collect()
}

/// Whether the caller is a browser: it names HTML, and not only by `*/*`.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(','));
    types.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        named && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// A host that may be shown in a page and pasted into a shell.
fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

/// The places worth knowing, with what is there.
const PLACES: [(&str, &str); 8] = [
    ("/docs", "try every operation in the browser"),
    ("/openapi.json", "the same for programs"),
    ("/v1/models", "the models, their versions and states"),
    ("/v1/text/classify", "POST a text"),
    ("/v1/image/classify", "POST or PUT a picture"),
    ("/health/live", "is the process alive"),
    ("/health/ready", "may requests be sent"),
    ("/metrics", "for Prometheus"),
];

/// The commands to try, for a model of each task that is loaded.
fn commands(models: &[Loaded], host: &str) -> Vec<String> {
    let of = |task| models.iter().find(|model| model.task == task);
    let text = of(Task::TextClassification).map(|model| {
        let name = &model.name;
        let body = format!(r#"{{"model": "{name}", "input": "a gripping, funny and deeply moving film"}}"#);
        format!("curl http://{host}/v1/text/classify -H 'content-type: application/json' -d '{body}'")
    });
    let picture = of(Task::ImageClassification)
        .map(|model| format!("curl -T picture.jpg 'http://{host}/v1/image/classify?model={}'", model.name));
    text.into_iter().chain(picture).collect()
}

fn text(models: &[Loaded], host: &str) -> String {
    let mut text = format!("Sconce {}: text and image models over HTTP\n\n", env!("CARGO_PKG_VERSION"));
    for (path, what) in PLACES {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{path:<20} {what}");
    }
    text.push_str(if models.is_empty() {
        "\nNo model is ready; /v1/models says why.\n"
    } else {
        "\nModels:\n"
    });
    for Loaded { name, version, task } in models {
        let _ = writeln!(text, "  {name} {version}  {task}");
    }
    for command in commands(models, host) {
        let _ = write!(text, "\nTry:\n  {command}\n");
    }
    text
}

fn page(models: &[Loaded], host: &str) -> String {
    let mut rows = String::new();
    for (path, what) in PLACES {
        let shown = if path.ends_with("classify") {
            format!("<code>{path}</code>")
        } else {
            format!("<a href=\"{path}\"><code>{path}</code></a>")
        };
        let _ = writeln!(rows, "<tr><td>{shown}</td><td>{what}</td></tr>");
    }
    let mut loaded = String::new();
    for Loaded { name, version, task } in models {
        let _ = writeln!(
            loaded,
            "<tr><td><a href=\"/v1/models/{name}\">{name}</a></td><td>{version}</td><td>{task}</td></tr>"
        );
    }
    let nothing = "<p>No model is ready; <a href=\"/v1/models\">/v1/models</a> says why.</p>";
    let loaded = if models.is_empty() { nothing.to_owned() } else { format!("<table>\n{loaded}</table>") };
    let mut tried = String::new();
    for command in commands(models, host) {
        let _ = writeln!(tried, "<pre>{}</pre>", escaped(&command));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Sconce</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}\n\
         td {{ padding: .1rem 1rem .1rem 0 }} pre {{ background: #8882; padding: .7rem; overflow-x: auto }}\n\
         </style></head>\n<body>\n<h1>Sconce {}</h1>\n<p>Text and image models over HTTP.</p>\n\
         <table>\n{rows}</table>\n<h2>Models</h2>\n{loaded}\n{tried}</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded() -> Vec<Loaded> {
        let model = |name: &str, task| Loaded { name: name.to_owned(), version: "1".to_owned(), task };
        vec![model("sentiment", Task::TextClassification), model("sign-digits", Task::ImageClassification)]
    }

    #[test]
    fn browsers_get_html_and_curl_does_not() {
        let accept = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            wants_html(&headers)
        };
        assert!(accept(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]));
        assert!(accept(&["application/json", "Text/HTML;q=0.1"]));
        for other in [&[][..], &["*/*"], &["application/json"], &["text/html;q=0, */*"], &["text/plain"]] {
            assert!(!accept(other), "{other:?}");
        }
    }

    #[test]
    fn both_pages_have_every_place_and_a_command_a_task() {
        for page in [text(&loaded(), "here:1"), page(&loaded(), "here:1")] {
            for (path, _) in PLACES {
                assert!(page.contains(path), "{path}");
            }
            assert!(page.contains("curl http://here:1/v1/text/classify"), "{page}");
            assert!(
                page.contains("curl -T picture.jpg 'http://here:1/v1/image/classify?model=sign-digits'"),
                "{page}"
            );
        }
        assert!(text(&[], "here").contains("No model is ready"));
        assert!(page(&[], "here").contains("No model is ready"));
    }

    #[test]
    fn a_host_that_could_be_markup_is_not_shown() {
        for good in ["localhost:8080", "10.0.0.1", "[::1]:80", "a-b.example"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "<b>", "a'b", "a b", "$(x)", "a/b"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
