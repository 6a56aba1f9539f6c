//! What is merged, what wins, and what is said of mistakes.

use super::*;
use crate::engine::EngineChoice;
use crate::limits;
use crate::name::Version;
use crate::registry::Policy;
use crate::telemetry::LogFormat;
use crate::value::Task;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Sources of a file's text, variables and `--set` flags.
struct Said {
    folder: tempfile::TempDir,
    sources: Sources,
}

fn said(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    std::fs::write(&path, file).unwrap();
    let flag = |(key, value): &(&str, &str)| Flag {
        name: "--set".to_owned(),
        key: Key::parse(key).unwrap(),
        value: (*value).to_owned(),
    };
    let sources = Sources {
        file: Some(path),
        environment: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        mounted: None,
        flags: flags.iter().map(flag).collect(),
        other_variables: BTreeSet::new(),
    };
    Said { folder, sources }
}

impl Said {
    fn read(&self) -> Configuration {
        read(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The problems, a line each, with the folder's path cut out.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let error = read(&self.sources).unwrap_err();
        error.0.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

#[test]
fn the_compiled_in_file_says_what_the_limits_say() {
    let settings = read(&Sources::default()).unwrap().settings;
    let http = &settings.http.config;
    assert_eq!(settings.http.address.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.http.grpc_port, None);
    assert_eq!(http.body_bytes_max, limits::BODY_BYTES_DEFAULT);
    assert_eq!(http.connections_max, limits::CONNECTIONS_DEFAULT);
    assert_eq!(http.request_inputs_max, limits::REQUEST_INPUTS_MAX);
    assert_eq!(http.header_timeout, Duration::from_secs(limits::HEADER_SECONDS_DEFAULT));
    assert_eq!(http.body_timeout, Duration::from_secs(limits::BODY_SECONDS_DEFAULT));
    assert_eq!(http.deadline_default, Duration::from_millis(limits::DEADLINE_MS_DEFAULT));
    assert_eq!(http.deadline_max, Duration::from_millis(limits::DEADLINE_MS_MAX));
    assert_eq!(http.drain_timeout, Duration::from_secs(limits::DRAIN_SECONDS_DEFAULT));
    assert_eq!(http.awake, Duration::from_micros(limits::AWAKE_US_DEFAULT));
    assert!(http.default_models.is_empty());
    let own = &settings.pipelines.default;
    assert_eq!((own.engine, own.engine_rows), (EngineChoice::Auto, None), "0 means measured");
    assert_eq!(own.queue_rows_max, limits::QUEUE_ROWS_DEFAULT);
    assert_eq!(own.queue_tokens_max, limits::QUEUE_TOKENS_DEFAULT);
    assert_eq!(own.queue_pixels_max, limits::QUEUE_PIXELS_DEFAULT);
    assert!(settings.pipelines.default.workers >= 1, "0 means one a core");
    assert_eq!(settings.models.directory, PathBuf::from("models"));
    assert_eq!(settings.models.poll, Some(Duration::from_secs(limits::POLL_SECONDS_DEFAULT)));
    assert!(settings.models.watch);
    assert_eq!(settings.models.policies.default, Policy::Latest(NonZeroUsize::MIN));
    assert_eq!(settings.machine.scheduling, Scheduling::default());
    assert_eq!((settings.log.format, settings.log.filter.as_str()), (LogFormat::Auto, "info"));
}

#[test]
fn the_compiled_in_file_is_read_whole_and_in_its_order() {
    let effective = read(&Sources::default()).unwrap().effective;
    assert!(effective.iter().all(|effective| effective.origin == Origin::Default));
    let places: Vec<_> = effective
        .iter()
        .map(|effective| {
            let table = DEFAULTS.find(&format!("\n[{}]", effective.key.table().join("."))).unwrap();
            table + DEFAULTS[table..].find(&format!("\n{} = ", effective.key.name())).unwrap()
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn every_key_of_the_file_is_described_with_its_variable() {
    for key in read(&Sources::default()).unwrap().effective.iter().map(|effective| &effective.key) {
        let line = DEFAULTS.lines().position(|line| line.starts_with(&format!("{} = ", key.name()))).unwrap();
        let lines: Vec<_> = DEFAULTS.lines().collect();
        let above: Vec<_> = lines[..line].iter().rev().take_while(|line| line.starts_with("# ")).collect();
        assert!(above.len() >= 2, "{key} has no meaning");
        let variable = format!("# Environment: {}", key.variable());
        assert!(above.iter().any(|line| line.starts_with(&variable)), "{key}: expected {variable}");
    }
    // Keys that need not be there stand in comments, each with its variable.
    for (key, variable) in commented() {
        assert_eq!(key.variable(), variable);
    }
}

/// Keys in comments (`# key = value   # Environment: VARIABLE` under `# [table]`), with the variable told.
fn commented() -> Vec<(Key, String)> {
    let mut table = String::new();
    let mut found = Vec::new();
    for line in DEFAULTS.lines().filter_map(|line| line.strip_prefix("# ")) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
        } else if let Some((setting, variable)) = line.split_once("# Environment: ") {
            let name = setting.split(" = ").next().unwrap().trim();
            found.push((Key::parse(&format!("{table}.{name}")).unwrap(), variable.to_owned()));
        }
    }
    found
}

#[test]
fn the_commented_keys_work_when_they_are_uncommented() {
    assert_eq!(commented().len(), 11);
    let text: String = DEFAULTS
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') && line.ends_with(']') || line.contains("# Environment: "))
        .fold(String::new(), |text, line| text + line + "\n");
    let configuration = said(&text, &[], &[]).read();
    for (key, _) in commented() {
        let found = configuration.effective.iter().find(|effective| effective.key == key);
        assert!(matches!(found.unwrap().origin, Origin::File { .. }), "{key}");
    }
}

#[test]
fn later_sources_win_and_are_remembered() {
    let file = "[http]\nport = 1\nhost = \"0.0.0.0\"\nbody_bytes_max = 5\n";
    let variables = [("SCONCE_HTTP__PORT", "2"), ("SCONCE_HTTP__BODY_BYTES_MAX", "6_000")];
    let all = said(file, &variables, &[("http.port", "3"), ("http.port", "4")]);
    let configuration = all.read();
    let origin = |key: &str| {
        let effective = configuration.effective.iter().find(|effective| effective.key == Key::dotted(key));
        let effective = effective.unwrap();
        let origin = effective.origin.to_string().replace(&format!("{}/", all.folder.path().display()), "");
        format!("{} {origin}", effective.value)
    };
    assert_eq!(origin("http.port"), "4 flag --set");
    assert_eq!(origin("http.body_bytes_max"), "6000 environment SCONCE_HTTP__BODY_BYTES_MAX");
    assert_eq!(origin("http.host"), "\"0.0.0.0\" s.toml:3");
    assert_eq!(origin("http.connections_max"), "4096 default");
    assert_eq!(configuration.settings.http.address.to_string(), "0.0.0.0:4");
    assert_eq!(configuration.settings.http.config.body_bytes_max, 6000);
}

#[test]
fn a_model_has_what_all_have_unless_it_says_otherwise() {
    let file = "[inference]\nworkers = 3\nqueue_tokens_max = 20000\n[model.sign-digits]\nengine_rows = 7\nengine = \"candle\"\n\
        versions = [1, 3]\n[model.x]\nengine_rows = 0\n";
    let variables = [("SCONCE_MODEL__SENTIMENT__VERSIONS", "latest 2"), ("SCONCE_MODELS__VERSIONS", "5,6")];
    let settings = said(file, &variables, &[("model.\"a.b\".device", "cpu")]).read().settings;
    let own = settings.pipelines.of("sign-digits");
    assert_eq!((own.workers, own.engine_rows), (3, Some(7)));
    assert_eq!((own.engine, own.queue_tokens_max), (EngineChoice::Candle, 20_000));
    assert_eq!(settings.pipelines.of("x").engine_rows, None);
    assert_eq!(settings.pipelines.of("other").engine, EngineChoice::Auto);
    assert_eq!(settings.pipelines.of("a.b").device, crate::engine::DeviceChoice::Cpu);
    let versions = |numbers: &[&str]| {
        Policy::Versions(numbers.iter().map(|number| number.parse::<Version>().unwrap()).collect())
    };
    let policies = &settings.models.policies;
    assert_eq!(policies.default, versions(&["5", "6"]));
    assert_eq!(policies.models["sign-digits"], versions(&["1", "3"]));
    assert_eq!(policies.models["sentiment"], Policy::Latest(NonZeroUsize::new(2).unwrap()));
}

#[test]
fn a_task_has_the_default_model_that_was_said() {
    let file = "[default_models]\ntext-classification = \"sentiment\"\n";
    let variables = [("SCONCE_DEFAULT_MODELS__IMAGE_CLASSIFICATION", "digits")];
    let found = said(file, &variables, &[]).read().settings.http.config.default_models;
    assert_eq!(found[&Task::TextClassification].as_str(), "sentiment");
    assert_eq!(found[&Task::ImageClassification].as_str(), "digits");
}

/// One mistake, wherever it is made: key, value, where it is from, what was expected or nearest.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, a mistake a row")]
fn a_mistake_is_named() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(&str, Pairs, Pairs, &str); 23] = [
        (
            "[http]\nport = 70000\n",
            &[],
            &[],
            "http.port = 70000 (s.toml:2): expected a whole number from 0 to 65535",
        ),
        (
            "[http]\nport = \"80\"\n",
            &[],
            &[],
            "http.port = \"80\" (s.toml:2): expected a whole number from 0 to 65535",
        ),
        (
            "[http]\nport = -1\n",
            &[],
            &[],
            "http.port = -1 (s.toml:2): expected a whole number from 0 to 65535",
        ),
        (
            "[http]\nprot = 1\n",
            &[],
            &[],
            "http.prot = 1 (s.toml:2): there is no such key; did you mean http.port?",
        ),
        (
            "[htpp]\nport = 1\n",
            &[],
            &[],
            "htpp.port = 1 (s.toml:2): there is no such key; did you mean http.port?",
        ),
        ("[htpp]\n", &[], &[], "htpp = {} (s.toml:1): there is no such key"),
        ("http = 1\n", &[], &[], "http = 1 (s.toml:1): expected a table, [http]"),
        ("[model]\nx = 1\n", &[], &[], "model.x = 1 (s.toml:2): expected a table, [model.x]"),
        (
            "[model.x]\ndevise = 1\n",
            &[],
            &[],
            "model.x.devise = 1 (s.toml:2): there is no such key; did you mean model.x.device?",
        ),
        (
            "[model.\"a b\"]\ndevice = \"cpu\"\n",
            &[],
            &[],
            "[model.\"a b\"] (s.toml:2): \"a b\" is not a model name",
        ),
        (
            "[inference]\ndevice = \"gpu\"\n",
            &[],
            &[],
            "inference.device = \"gpu\" (s.toml:2): expected \"auto\", \"cpu\" or \"cuda:N\"",
        ),
        (
            "[models]\nversions = [0]\n",
            &[],
            &[],
            "models.versions = [0] (s.toml:2): expected \"latest\", \"latest N\"",
        ),
        ("[models]\nversions = []\n", &[], &[], "models.versions = [] (s.toml:2): expected"),
        (
            "[http]\ndeadline_ms_default = 9\ndeadline_ms_max = 8\n",
            &[],
            &[],
            "http.deadline_ms_default = 9 (s.toml:2): expected at most http.deadline_ms_max, which is 8",
        ),
        (
            "[inference]\nqueue_rows_max = 8\n",
            &[],
            &[],
            "inference.queue_rows_max = 8 (s.toml:2): expected at least http.request_inputs_max, which is 256",
        ),
        (
            "[inference]\nqueue_tokens_max = 16383\n",
            &[],
            &[],
            "inference.queue_tokens_max = 16383 (s.toml:2): expected a whole number from 16384 to 1073741824",
        ),
        (
            "[model.x]\nqueue_pixels_max = 5\n",
            &[],
            &[],
            "model.x.queue_pixels_max = 5 (s.toml:2): expected a whole number from 1048576 to 1073741824",
        ),
        (
            "[inference]\nengine = \"onnx\"\n",
            &[],
            &[],
            "inference.engine = \"onnx\" (s.toml:2): expected \"auto\" or \"candle\"",
        ),
        (
            "",
            &[("SCONCE_HTTP__PROT", "1")],
            &[],
            "SCONCE_HTTP__PROT = \"1\" (environment SCONCE_HTTP__PROT): there is no such variable; did you mean SCONCE_HTTP__PORT?",
        ),
        (
            "",
            &[("SCONCE_PORT", "1")],
            &[],
            "SCONCE_PORT = \"1\" (environment SCONCE_PORT): there is no such variable; did you mean SCONCE_HTTP__PORT?",
        ),
        (
            "",
            &[("SCONCE_HTTP__PORT", "")],
            &[],
            "http.port = \"\" (environment SCONCE_HTTP__PORT): expected a whole number",
        ),
        (
            "",
            &[],
            &[("log.filter", "a=b=c")],
            "log.filter = \"a=b=c\" (flag --set): expected a filter as in RUST_LOG",
        ),
        (
            "",
            &[],
            &[("log.fromat", "x")],
            "log.fromat = \"x\" (flag --set): there is no such key; did you mean log.format?",
        ),
    ];
    for (file, variables, flags, expected) in cases {
        let problems = said(file, variables, flags).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "\n{}\n{expected}", problems[0]);
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let file = "[http]\nport = 70000\nbody = 1\n[log]\nformat = \"xml\"\n";
    let problems =
        said(file, &[("SCONCE_MODELS__WATCH", "maybe")], &[("inference.workers", "257")]).problems();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    let no_file = said("[http]\nport = \n", &[("SCONCE_LOG__FORMAT", "xml")], &[]).problems();
    assert_eq!(no_file.len(), 2, "{no_file:#?}");
    assert!(no_file[0].starts_with("s.toml:2: "));
}
