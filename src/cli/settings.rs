//! The flags of the configuration, shared by every verb that is configured, and reading it with them.

use std::path::{Path, PathBuf};

use super::{Failure, variables};
use crate::config::{self, Configuration, Flag, Key, Sources};

/// Flags over environment over file over defaults; `sconce config` shows what comes of it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct SettingsArguments {
    /// The folder of model folders.
    #[arg(
        long,
        value_name = "DIR",
        help = "The folder of model folders \
        [env: SCONCE_MODELS__DIRECTORY] [default: models]"
    )]
    models: Option<String>,

    /// The address to listen on.
    #[arg(
        long,
        value_name = "ADDR",
        help = "The IP address to listen on, 0.0.0.0 for every interface \
        [env: SCONCE_HTTP__HOST] [default: 127.0.0.1]"
    )]
    host: Option<String>,

    /// The port to listen on.
    #[arg(
        long,
        value_name = "N",
        help = "The port; 0 picks a free one and prints it \
        [env: SCONCE_HTTP__PORT] [default: 8080]"
    )]
    port: Option<u16>,

    /// Where operators ask.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where TorchServe's management API and metrics are, for operators only \
        [env: SCONCE_HTTP__ADMIN_ADDRESS] [default: off]"
    )]
    admin: Option<String>,

    /// Whether answers are computed again.
    #[arg(
        long,
        value_name = "1/N",
        help = "Computes one answer in N again, alone, and counts the ones that differ in a bit \
        [env: SCONCE_INFERENCE__VERIFY_INVARIANCE] [default: off]"
    )]
    verify_invariance: Option<String>,

    /// Whether the public test models answer.
    #[arg(
        long,
        help = "Answers for the public test models of Triton's client examples as well \
        [env: SCONCE_HTTP__CONFORMANCE_MODELS] [default: false]"
    )]
    conformance_models: bool,

    /// The file to read.
    #[arg(long, value_name = "FILE", env = config::FILE_VARIABLE, hide_env_values = true,
        help = "A configuration file over the defaults [default: ./sconce.toml, if there is one]")]
    config: Option<PathBuf>,

    /// Any key.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting,
        help = "Sets any key, such as http.body_bytes_max=1000000; repeatable \
        [env: SCONCE_SECTION__KEY]")]
    set: Vec<(Key, String)>,
}

/// `http.port=9000`.
fn setting(text: &str) -> Result<(Key, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as http.port=9000")?;
    let key =
        Key::parse(key.trim()).ok_or_else(|| format!("{key:?} is no key; expected one such as http.port"))?;
    // As TOML writes a text, so that a line of a file may be given as it is.
    let plain = value.trim();
    let unquoted = plain.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(plain);
    Ok((key, unquoted.to_owned()))
}

impl SettingsArguments {
    /// Reads the configuration with these flags over the process's environment.
    ///
    /// # Errors
    /// Every mistake in it, as one failure (64).
    pub(super) fn read(&self) -> Result<Configuration, Failure> {
        let here = Path::new(config::FILE_HERE);
        let sources = Sources {
            file: self.config.clone().or_else(|| here.is_file().then(|| here.to_owned())),
            environment: std::env::vars_os().collect(),
            mounted: Some(PathBuf::from(config::MOUNTED)).filter(|folder| folder.is_dir()),
            flags: self.flags(),
            other_variables: variables::of_flags(),
        };
        config::read(&sources).map_err(|wrong| {
            Failure::data(wrong).hint(
                "`sconce config --help` tells where values come from; every key is in config/sconce.toml",
            )
        })
    }

    fn flags(&self) -> Vec<Flag> {
        let named = [
            ("--models", "models.directory", self.models.clone()),
            ("--host", "http.host", self.host.clone()),
            ("--port", "http.port", self.port.map(|port| port.to_string())),
            ("--admin", "http.admin_address", self.admin.clone()),
            ("--verify-invariance", "inference.verify_invariance", self.verify_invariance.clone()),
            (
                "--conformance-models",
                "http.conformance_models",
                self.conformance_models.then(|| "true".to_owned()),
            ),
        ];
        let set = self.set.iter().map(|(key, value)| Flag {
            name: "--set".to_owned(),
            key: key.clone(),
            value: value.clone(),
        });
        let named = named.into_iter().filter_map(|(name, key, value)| {
            Some(Flag { name: name.to_owned(), key: Key::dotted(key), value: value? })
        });
        set.chain(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        assert_eq!(setting("http.port=1").unwrap(), (Key::dotted("http.port"), "1".to_owned()));
        assert_eq!(setting("log.filter = \"a=b\"").unwrap(), (Key::dotted("log.filter"), "a=b".to_owned()));
        for bad in ["http.port", "=1", "a b=1", ""] {
            setting(bad).unwrap_err();
        }
    }

    #[test]
    fn the_help_of_a_flag_tells_the_variable_and_the_default_of_its_key() {
        let configuration = config::read(&Sources::default()).unwrap();
        let arguments = SettingsArguments {
            models: Some("x".into()),
            host: Some("::1".into()),
            port: Some(1),
            admin: Some("127.0.0.1:1".into()),
            verify_invariance: Some("1/2".into()),
            conformance_models: true,
            ..SettingsArguments::default()
        };
        let command = super::super::command();
        let serve = command.find_subcommand("config").unwrap();
        for flag in arguments.flags() {
            let effective =
                configuration.effective.iter().find(|effective| effective.key == flag.key).unwrap();
            let default = effective.value.as_str().map_or_else(|| effective.value.to_string(), str::to_owned);
            let mut args = serve.get_arguments();
            let arg =
                args.find(|arg| Some(arg.get_long().unwrap_or_default()) == flag.name.strip_prefix("--"));
            let help = arg.unwrap().get_help().unwrap().to_string();
            assert!(help.contains(&format!("[env: {}]", flag.key.variable())), "{help}");
            assert!(help.contains(&format!("[default: {default}]")), "{help}");
        }
    }
}
