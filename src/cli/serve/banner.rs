//! What a person at a terminal sees once the models are loaded: where, what, and how to ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Weak;
use std::time::Duration;

use crate::cli::output;
use crate::pipeline::Pipeline;
use crate::registry::{ModelStatus, Registry, State, VersionStatus};
use crate::value::Task;

/// Models shown; with the lines around them the banner has at most ten.
const ROWS_MAX: usize = 5;
/// Characters of a reason for a version not serving.
const REASON_CHARS_MAX: usize = 60;
/// Time between two looks at whether the models are loaded.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until the first models are loaded or refused, then prints the banner. Ends with the registry.
pub(super) async fn when_loaded(address: SocketAddr, registry: Weak<Registry<Pipeline>>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        let models = registry.models();
        let states = || models.iter().flat_map(|model| &model.versions).map(|version| &version.state);
        let settled = !models.is_empty() && !states().any(|state| matches!(state, State::Loading));
        if registry.is_ready() || settled {
            let rows: Vec<Row> = models.iter().flat_map(rows).collect();
            return output::complain(&banner(address, &rows));
        }
    }
}

/// One version as the banner shows it.
struct Row {
    name: String,
    version: String,
    /// Task and device, when it serves.
    serving: Option<(Task, String)>,
    status: String,
}

/// The versions of a model that serve or should.
fn rows(model: &ModelStatus<Pipeline>) -> Vec<Row> {
    let row = |version: &VersionStatus<Pipeline>| {
        let (serving, status) = match &version.state {
            State::Ready(entry) => {
                let pipeline = &entry.handle;
                (Some((pipeline.manifest().task, pipeline.device().to_owned())), "ready".to_owned())
            }
            State::Loading => (None, "loading".to_owned()),
            State::Failed { reason } => (None, format!("refused: {}", cut(reason))),
            State::Idle => return None,
        };
        Some(Row { name: model.name.to_string(), version: version.version.to_string(), serving, status })
    };
    model.versions.iter().filter_map(row).collect()
}

fn cut(reason: &str) -> String {
    let mut shown: String = reason.chars().take(REASON_CHARS_MAX).collect();
    if shown.len() < reason.len() {
        shown.push('…');
    }
    shown
}

fn banner(address: SocketAddr, rows: &[Row]) -> String {
    let url = format!("http://{}", reachable(address));
    let mut lines =
        vec![format!("Sconce {} at {url}, documentation at {url}/docs", env!("CARGO_PKG_VERSION"))];
    if rows.is_empty() {
        lines.push("There are no models yet; `sconce train` and `sconce import` make some.".to_owned());
    } else {
        lines.extend(table(rows));
    }
    lines.extend(rows.iter().find_map(|row| Some(curl(&url, &row.name, row.serving.as_ref()?.0))));
    lines.push("Ctrl-C ends it.".to_owned());
    lines.join("\n")
}

/// The address as this machine reaches it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn table(rows: &[Row]) -> Vec<String> {
    let shown = rows.iter().take(ROWS_MAX);
    let width = shown.clone().map(|row| row.name.len()).max().unwrap_or_default().max(4);
    let mut lines =
        vec![format!("  {:width$}  {:7}  {:20}  {:7}  STATUS", "NAME", "VERSION", "TASK", "DEVICE")];
    for row in shown {
        let (task, device) =
            row.serving.as_ref().map_or(("-", "-"), |(task, device)| (task.as_str(), device.as_str()));
        let line = format!("  {:width$}  {:7}  {task:20}  {device:7}  {}", row.name, row.version, row.status);
        lines.push(line);
    }
    if rows.len() > ROWS_MAX {
        lines.push(format!("  and {} more, listed at /v1/models", rows.len() - ROWS_MAX));
    }
    lines
}

/// A command to paste that this model answers.
fn curl(url: &str, model: &str, task: Task) -> String {
    match task {
        Task::TextClassification => {
            let body = format!(r#"{{"model": "{model}", "input": "a fine film"}}"#);
            format!("curl {url}/v1/text/classify -H 'content-type: application/json' -d '{body}'")
        }
        Task::ImageClassification => format!("curl -T picture.jpg '{url}/v1/image/classify?model={model}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, task: Option<Task>) -> Row {
        let serving = task.map(|task| (task, "cpu".to_owned()));
        let status = if serving.is_some() { "ready" } else { "refused: weights.safetensors: damaged" };
        Row { name: name.to_owned(), version: "3".to_owned(), serving, status: status.to_owned() }
    }

    #[test]
    fn it_says_where_what_and_how_to_ask() {
        let rows = [row("broken", None), row("sign-digits", Some(Task::ImageClassification))];
        let text = banner("0.0.0.0:8080".parse().unwrap(), &rows);
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            &format!(
                "Sconce {version} at http://127.0.0.1:8080, documentation at http://127.0.0.1:8080/docs"
            ),
            "  NAME         VERSION  TASK                  DEVICE   STATUS",
            "  broken       3        -                     -        refused: weights.safetensors: damaged",
            "  sign-digits  3        image-classification  cpu      ready",
            "curl -T picture.jpg 'http://127.0.0.1:8080/v1/image/classify?model=sign-digits'",
            "Ctrl-C ends it.",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn it_has_at_most_ten_lines() {
        let rows: Vec<Row> = (0..20).map(|_| row("m", Some(Task::TextClassification))).collect();
        let text = banner("[::]:1".parse().unwrap(), &rows);
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.contains("and 15 more"));
        assert!(text.contains("curl http://[::1]:1/v1/text/classify"));
        assert_eq!(banner("[::1]:1".parse().unwrap(), &[]).lines().count(), 3);
    }
}
