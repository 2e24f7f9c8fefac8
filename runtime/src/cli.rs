//! The command line.

use crate::{
    client::{Ask, Ended, NotAsked},
    clock::Clock,
    config::{self, ConfigError},
    demo::{self, DemoError, Screen, Verdict},
    descriptors, load,
    logging::{self, Format, Verbosity},
    sasl::ClusterSasl,
    serve,
    tls::{ClusterTls, Crypto},
};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use kroxy_core::reload::Loaded;
use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

mod credential;
#[cfg(test)]
mod tests;

use self::credential::CredentialArgs;

const LONG_ABOUT: &str = "\
kroxy is a proxy for the Kafka protocol. Clients connect to it as if it were a Kafka cluster, and see its addresses in \
place of the brokers' in every response. A \"virtual cluster\" is a Kafka cluster as clients see it through kroxy.";

const EXAMPLES: &str = "\
Examples:
  kroxy demo                        see it at work, with nothing installed
  kroxy check proxy.ron             see what a configuration will do, or what is wrong with it
  kroxy serve proxy.ron             serve
  kroxy -v serve proxy.ron          serve, and log every connection
  kroxy status                      what the proxy on this machine is doing
  kroxy plan new.ron                what a reload with that configuration would do to it
  kroxy reload                      have it put its configuration file in force
  kroxy completions bash > ~/.local/share/bash-completion/completions/kroxy

Exit codes:
  0  everything went well
  1  start-up failed, the configuration is invalid, or the proxy that was asked refused
  2  the command line is wrong
  3  something failed while running or stopping, or the proxy that was asked gave no answer
  10 `kroxy plan` and `kroxy reload --dry-run`: there would be changes

Environment:
  RUST_LOG  what is logged, such as \"info,runtime::listen=debug\"; -v and -q come before it
  NO_COLOR  no colours";

const SERVE_AFTER: &str = "\
The first SIGTERM or SIGINT stops it gracefully: no more connections are accepted, and what is in flight is finished \
within each virtual cluster's drain_timeout. A second signal stops it at once (exit code 3). SIGHUP puts the file in force \
again; with `watch: true` in it, so does every change.";

const CREDENTIAL_AFTER: &str = "\
The entry goes to standard output, on a line of its own; a file of users is a list of them:

  [
      (user: \"alice\", mechanism: \"SCRAM-SHA-512\", ...),
  ]

It has a salted hash of the password and never the password itself, and yet is a secret: who has it can guess at leisure.";

/// A proxy for the Kafka protocol
#[derive(Parser, Debug)]
#[command(name = "kroxy", version, about, long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How the log looks; it goes to standard error
    #[arg(long, global = true, display_order = 100, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: Format,
    /// Log every connection; twice, everything
    #[arg(short, long, global = true, display_order = 101, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true, display_order = 102)]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve the virtual clusters of a configuration file
    #[command(after_help = SERVE_AFTER)]
    Serve {
        /// The configuration, such as proxy.ron (docs/configuration.md describes it)
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Say what configuration files will do, or what is wrong with them; start nothing
    Check {
        /// The configurations
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    #[command(flatten)]
    Ask(Ask),
    /// Show kroxy at work: embedded brokers, the proxy, a producer and a consumer group that verifies every record
    Demo(DemoArgs),
    /// Make an entry of a file of users, for clients that authenticate themselves at the proxy
    #[command(after_help = CREDENTIAL_AFTER)]
    ScramCredential(CredentialArgs),
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What `kroxy demo` takes.
#[derive(Args, Debug)]
struct DemoArgs {
    /// Send a fixed number of records, verify each of them, and end; without it the demo runs until Ctrl-C
    #[arg(long)]
    once: bool,
    /// How many records --once sends
    #[arg(long, value_name = "N", requires = "once", default_value_t = demo::Options::ONCE_RECORDS, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of each record
    #[arg(long, value_name = "N", default_value_t = demo::Options::default().record_bytes)]
    record_bytes: usize,
    /// How many brokers to embed
    #[arg(long, value_name = "N", default_value_t = demo::Options::default().brokers, value_parser = clap::value_parser!(u16).range(1..))]
    brokers: u16,
    /// The port that Kafka clients start with; each broker has one of those that follow it
    #[arg(long, value_name = "PORT", default_value_t = demo::Options::default().port, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The port of the admin API; 0 is any free one
    #[arg(long, value_name = "PORT", default_value_t = demo::Options::default().admin_port)]
    admin_port: u16,
}

impl DemoArgs {
    fn options(&self) -> demo::Options {
        demo::Options {
            brokers: self.brokers,
            port: self.port,
            admin_port: self.admin_port,
            records: self.once.then_some(self.records),
            record_bytes: self.record_bytes,
        }
    }
}

/// How a command ended. A wrong command line (2) is clap's affair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    Clean,
    /// What was asked for has not been begun, or is wrong.
    NotDone,
    Failed,
    /// `kroxy plan` has found changes.
    Changes,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => Self::SUCCESS,
            Exit::NotDone => Self::from(1),
            Exit::Failed => Self::from(3),
            Exit::Changes => Self::from(10),
        }
    }
}

/// Does what the command line of this process asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(e) = logging::start(cli.log_format, cli.asked(), cli.usual()) {
        complain(&format!("{} cannot be understood: {e}", logging::VARIABLE));
        return Exit::NotDone.into();
    }
    match &cli.command {
        Command::Serve { file } => serve(file, cli.log_format),
        Command::Check { files } => printed(|out| check(files, out, &mut io::stderr())).into(),
        Command::Ask(what) => printed(|out| ask(what, out)).into(),
        Command::Demo(args) => demo(args.options()),
        Command::ScramCredential(args) => printed(|out| match args.entry() {
            Ok(entry) => out.write_all(entry.as_bytes()).map(|()| Exit::Clean),
            Err(why) => {
                complain(&why);
                Ok(Exit::NotDone)
            }
        })
        .into(),
        Command::Completions { shell } => printed(|out| {
            let mut script = Vec::new(); // clap_complete panics where it cannot write
            clap_complete::generate(*shell, &mut Cli::command(), "kroxy", &mut script);
            out.write_all(&script).map(|()| Exit::Clean)
        })
        .into(),
    }
}

impl Cli {
    const fn asked(&self) -> Option<Verbosity> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(Verbosity::Quiet),
            (false, 0) => None,
            (false, 1) => Some(Verbosity::Connections),
            (false, _) => Some(Verbosity::Everything),
        }
    }

    /// The demo has a screen of its own, which a log in between would spoil.
    const fn usual(&self) -> Verbosity {
        match self.command {
            Command::Demo(_) => Verbosity::Quiet,
            Command::Serve { .. }
            | Command::Check { .. }
            | Command::Ask(_)
            | Command::ScramCredential(_)
            | Command::Completions { .. } => Verbosity::Normal,
        }
    }
}

/// Runs something that prints. A reader that has seen enough (`| head`) is no failure.
fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<Exit>) -> Exit {
    let mut out = io::stdout().lock();
    match print(&mut out).and_then(|exit| out.flush().map(|()| exit)) {
        Ok(exit) => exit,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(e) => {
            complain(&format!("cannot write to standard output: {e}"));
            Exit::Failed
        }
    }
}

/// Where standard error is gone as well, there is nobody left to tell.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "kroxy: {what}");
}

fn has_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn check(files: &[PathBuf], out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<Exit> {
    let mut exit = Exit::Clean;
    for (n, file) in files.iter().enumerate() {
        match config::load(file) {
            Ok(config) => {
                let gap = if n == 0 { "" } else { "\n" };
                write!(out, "{gap}{} is valid\n\n{}", file.display(), config::describe(&config))?;
                if !check_certificates(&load::loaded(config), out, errors)? {
                    exit = Exit::NotDone;
                }
            }
            Err(e) => {
                exit = Exit::NotDone;
                errors.write_all(e.report(has_colours()).as_bytes())?;
            }
        }
    }
    Ok(exit)
}

/// Says until when certificates are valid, or what is wrong with the files that belong to them, and whether all is well.
fn check_certificates(loaded: &Loaded, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<bool> {
    let crypto = Crypto::new(Clock::system());
    let mut all_good = true;
    for name in loaded.config().virtual_clusters().iter().map(|cluster| &cluster.name) {
        let Some((values, material)) = loaded.cluster(name) else { continue };
        let tried = ClusterTls::new(values, material, &crypto).map_err(|e| e.to_string());
        let tried =
            tried.and_then(|tls| ClusterSasl::new(values, material, &crypto).map(|_| tls).map_err(|e| e.to_string()));
        match tried {
            Ok(tls) => {
                for own in tls.own {
                    writeln!(out, "{name}, {}: {}", own.field, own.at(crypto.now()))?;
                }
            }
            Err(e) => {
                all_good = false;
                writeln!(errors, "Error: virtual cluster {name} would fail: {e}")?;
            }
        }
    }
    Ok(all_good)
}

/// Asks a proxy that runs for something.
fn ask(what: &Ask, out: &mut dyn Write) -> io::Result<Exit> {
    match what.ask(out) {
        Ok(Ended::Done) => Ok(Exit::Clean),
        Ok(Ended::Changes) => Ok(Exit::Changes),
        Ok(Ended::NotDone) => Ok(Exit::NotDone),
        Err(NotAsked::Output(e)) => Err(e),
        Err(e @ NotAsked::File { .. }) => {
            complain(&e.to_string());
            Ok(Exit::NotDone)
        }
        Err(e @ (NotAsked::NoAnswer { .. } | NotAsked::Unreadable { .. })) => {
            complain(&e.to_string());
            Ok(Exit::Failed)
        }
    }
}

/// For people a picture of what is wrong, for machines a line of the log.
fn report(error: &ConfigError, format: Format) {
    match format {
        Format::Text => {
            let _ = io::stderr().write_all(error.report(has_colours()).as_bytes()); // as in `complain`
        }
        Format::Json => tracing::error!("{error}"),
    }
}

fn serve(file: &Path, format: Format) -> ExitCode {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(e) => {
            report(&e, format);
            return Exit::NotDone.into();
        }
    };
    descriptors::prepare(&config); // before there are threads, for which it would wait
    let running = tokio_runtime().and_then(|tokio| tokio.block_on(serve::run(load::loaded(config), file.to_owned())));
    match running {
        Ok(Ok(())) => Exit::Clean.into(),
        Ok(Err(failure)) => ExitCode::from(failure.exit_code()), // the supervisor has logged it
        Err(e) => {
            complain(&format!("cannot start: {e}"));
            Exit::NotDone.into()
        }
    }
}

fn tokio_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_name("kroxy").enable_all().build()
}

fn demo(options: demo::Options) -> ExitCode {
    let running = tokio_runtime()
        .map(|tokio| tokio.block_on(async { demo::run(options, serve::asked_to_stop(), &mut Screen::stdout()).await }));
    let error = match running {
        Ok(Ok(Verdict::Clean)) => return Exit::Clean.into(),
        Ok(Ok(Verdict::Flawed)) => return Exit::Failed.into(),
        Ok(Err(e)) => e,
        Err(e) => {
            complain(&format!("cannot start: {e}"));
            return Exit::NotDone.into();
        }
    };
    complain(&error.to_string());
    match error {
        DemoError::Proxy(failure) => ExitCode::from(failure.exit_code()),
        DemoError::Output(_) => Exit::Failed.into(),
        DemoError::Brokers(_)
        | DemoError::RecordBytes(_)
        | DemoError::Ports(_)
        | DemoError::Conflict(_)
        | DemoError::Host(_)
        | DemoError::Stopped => Exit::NotDone.into(),
    }
}
