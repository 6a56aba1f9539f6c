//! `sconce serve`: models over HTTP.

mod banner;

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;

use super::settings::SettingsArguments;
use super::{Failure, output};
use crate::app::{self, Addresses, ServeError};
use crate::config::{Configuration, Scheduling, Settings};
use crate::kernels::threads;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::telemetry::install_logs;

/// Serves the models of a folder over HTTP
///
/// Prints one line on standard output when it listens: `listening on http://ADDR:PORT`, and with `http.grpc_port` a second,
/// `listening for gRPC on ADDR:PORT`. New versions are taken up as
/// they appear, and on SIGHUP. SIGTERM and SIGINT (Ctrl-C) drain: whoever was accepted is answered, then it ends with
/// exit code 0.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Configuration { settings, unheeded, .. } = arguments.settings.read()?;
    install_logs(settings.log.format, &settings.log.filter).map_err(Failure::data)?;
    for sentence in unheeded {
        tracing::warn!("{sentence}");
    }
    // The threads that are started from here on inherit it.
    if settings.machine.scheduling == Scheduling::Batch
        && let Err(error) = threads::wake_in_turn()
    {
        tracing::warn!(%error, "the system refuses machine.scheduling = \"batch\": threads are scheduled as usual");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("starting the threads for input and output: {error}")))?;
    runtime.block_on(app::serve(parts(settings), listening)).map_err(|error| failure(&error))
}

/// The settings as the server's parts want them.
fn parts(settings: Settings) -> app::Settings {
    app::Settings {
        models: settings.models.directory,
        name: settings.models.name,
        multi_model: settings.models.multi,
        address: settings.http.address,
        admin: settings.http.admin,
        grpc_port: settings.http.grpc_port,
        http: settings.http.config,
        pipeline: settings.pipelines.default,
        pipelines: settings.pipelines.models,
        policies: settings.models.policies,
        watch: settings.models.watch,
        poll: settings.models.poll,
        model_control: settings.http.model_control,
    }
}

/// Says where the server listens, and on a terminal, once the models are there, what it serves.
fn listening(addresses: Addresses, registry: &Arc<Registry<Pipeline>>) {
    let address = addresses.http;
    // Nobody may want to know; the server serves all the same.
    output::print(&format!("listening on http://{address}")).ok();
    if let Some(grpc) = addresses.grpc {
        output::print(&format!("listening for gRPC on {grpc}")).ok();
    }
    if stderr().is_terminal() {
        tokio::spawn(banner::when_loaded(address, Arc::downgrade(registry)));
    }
}

fn failure(error: &ServeError) -> Failure {
    let failure = match error {
        ServeError::Models { .. } => Failure::data(error),
        ServeError::Bind { .. } | ServeError::System { .. } | ServeError::CutOff(_) => Failure::failed(error),
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
