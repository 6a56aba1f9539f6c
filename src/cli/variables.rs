//! The whole command line as clap knows it, and the environment variable of every flag.

use std::collections::BTreeSet;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

/// The command line with all its verbs. A flag of the configuration names the variable of its key; any other flag's
/// variable is `SCONCE_<VERB>_<FLAG>`.
#[must_use]
pub fn command() -> Command {
    let with_variables = |verb: Command| {
        let prefix = format!("SCONCE_{}", verb.get_name().to_uppercase());
        name_variables(verb, &prefix)
    };
    super::Line::command().mut_subcommands(with_variables)
}

fn name_variables(verb: Command, prefix: &str) -> Command {
    verb.mut_args(|arg| with_variable(arg, prefix)).mut_subcommands(|inner| name_variables(inner, prefix))
}

fn with_variable(arg: Arg, prefix: &str) -> Arg {
    let named_in_help = arg.get_help().is_some_and(|help| help.to_string().contains("[env: "));
    let reserved = matches!(arg.get_id().as_str(), "help" | "version");
    match arg.get_long() {
        Some(long) if !named_in_help && !reserved && arg.get_env().is_none() => {
            let variable = format!("{prefix}_{}", long.to_uppercase().replace('-', "_"));
            // Clap wants the name for as long as the process lives; there are some dozens, made a few times.
            let arg = arg.env(&*variable.leak()).hide_env_values(true);
            let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
            if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg }
        }
        _ => arg,
    }
}

/// The variables of all flags that are no keys of the configuration.
pub(super) fn of_flags() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(&command(), &mut found);
    found
}

fn collect(command: &Command, found: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
    found.extend(variables.map(str::to_owned));
    command.get_subcommands().for_each(|inner| collect(inner, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_and_shows_it() {
        fn check(command: &mut Command) {
            let help = command.render_long_help().to_string();
            for arg in
                command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
            {
                let Some(long) = arg.get_long() else { continue };
                let own = arg.get_env().map(|variable| format!("[env: {}", variable.to_string_lossy()));
                let told = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let shown = own.is_some_and(|own| help.contains(&own)) || told.contains("[env: SCONCE_");
                assert!(shown, "--{long} of {} shows no variable:\n{help}", command.get_name());
            }
            command.get_subcommands_mut().for_each(check);
        }
        let mut command = command();
        command.build();
        check(&mut command);
    }
}
