//! What kroxy says while it runs: one line per event, on standard error.
//!
//! At `info` are the events of the proxy, its virtual clusters and upstream nodes, at `debug` those of connections. There
//! is nothing for each request. How much is said is decided by the command line, else by the environment, else by the
//! configuration, which may change.

use kroxy_core::config::{Log, LogLevel};
use std::{io::IsTerminal, sync::OnceLock};
use tracing_subscriber::{EnvFilter, filter::ParseError, reload};

/// The variable that overrides what is said, in the syntax of `tracing-subscriber`, such as `info,runtime::listen=debug`.
pub(crate) const VARIABLE: &str = "RUST_LOG";

/// Crates that are kroxy's.
const OURS: [&str; 4] = ["kroxy", "runtime", "kroxy_core", "fixture_broker"];

/// How a line of the log looks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What an operator wants to know.
    Normal,
    /// Every connection.
    Connections,
    /// Everything, that of libraries included.
    Everything,
}

impl Verbosity {
    fn filter(self) -> EnvFilter {
        EnvFilter::builder().parse(self.directives()).expect("levels and names of crates")
    }

    fn directives(self) -> String {
        let ours = |level: &str| OURS.map(|name| format!("{name}={level}")).join(",");
        match self {
            Self::Quiet => "warn".to_owned(),
            Self::Normal => "info".to_owned(),
            Self::Connections => format!("info,{}", ours("debug")),
            Self::Everything => format!("debug,{}", ours("trace")),
        }
    }
}

impl From<LogLevel> for Verbosity {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Warn => Self::Quiet,
            LogLevel::Info => Self::Normal,
            LogLevel::Debug => Self::Connections,
            LogLevel::Trace => Self::Everything,
        }
    }
}

/// The log of this process, where [`start`] has set it up and nobody has decided for good how much is said.
static STEERED: OnceLock<Steered> = OnceLock::new();

struct Steered {
    replace: Replace,
    /// What holds where the configuration says nothing.
    usual: Verbosity,
}

type Replace = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// Says as much from now on as the configuration wants. The log of a program that kroxy is embedded in is left alone.
pub(crate) fn apply(log: Log) {
    let Some(Steered { replace, usual }) = STEERED.get() else { return };
    if let Err(e) = replace(log.level.map_or(*usual, Verbosity::from).filter()) {
        tracing::warn!("the level of the log stays as it is: {e}");
    }
}

/// Starts to say things. `asked` is what the command line wants; without it the environment decides, and where that is
/// silent, `usual` holds.
///
/// # Errors
/// Where the environment's variable cannot be understood.
pub(crate) fn start(format: Format, asked: Option<Verbosity>, usual: Verbosity) -> Result<(), ParseError> {
    let environment = std::env::var(VARIABLE).ok().filter(|directives| !directives.is_empty());
    let filter = filter(asked, environment.as_deref(), usual)?;
    let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    let started = match format {
        Format::Text => {
            let builder = builder.with_target(false).with_filter_reloading();
            let replace = replace(builder.reload_handle());
            builder.try_init().map(|()| replace)
        }
        Format::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false); // it is the last of all spans
            let builder = builder.with_filter_reloading();
            let replace = replace(builder.reload_handle());
            builder.try_init().map(|()| replace)
        }
    };
    match started {
        Ok(replace) if asked.is_none() && environment.is_none() => {
            STEERED.get_or_init(|| Steered { replace, usual });
        }
        Ok(_) => {} // it stays as it is
        Err(e) => tracing::debug!("somebody else has set up the log: {e}"),
    }
    Ok(())
}

fn replace<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> Replace {
    Box::new(move |filter| handle.reload(filter))
}

fn filter(asked: Option<Verbosity>, environment: Option<&str>, usual: Verbosity) -> Result<EnvFilter, ParseError> {
    match (asked, environment) {
        (None, Some(directives)) => EnvFilter::builder().parse(directives),
        (Some(asked), _) => Ok(asked.filter()),
        (None, None) => Ok(usual.filter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(asked: Option<Verbosity>, environment: Option<&str>) -> String {
        filter(asked, environment, Verbosity::Normal).expect("valid").to_string()
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_that_before_the_default() {
        assert_eq!(chosen(None, None), "info");
        assert_eq!(chosen(None, Some("error")), "error");
        assert_eq!(chosen(Some(Verbosity::Quiet), Some("trace")), "warn");
    }

    #[test]
    fn connections_are_shown_without_the_chatter_of_libraries() {
        let chosen = chosen(Some(Verbosity::Connections), None);
        assert!(chosen.contains("runtime=debug") && chosen.ends_with("info"), "{chosen}");
    }

    #[test]
    fn what_the_environment_says_has_to_make_sense() {
        assert!(filter(None, Some("runtime=loud"), Verbosity::Normal).is_err());
    }
}
