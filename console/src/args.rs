//! The command line, and what becomes of it: which proxies, how to reach them, how to look.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};

use crate::limits::PROXIES_MAX;
use crate::theme::Theme;

/// The live picture of the virtual clusters of a kroxy, in a terminal.
///
/// Shows within a second what serves, what has failed and why, and what moves. It talks to the admin API of one proxy or
/// of several: the status is asked for every second and whenever an event says that something has changed. Nothing is
/// changed at a proxy without a question that has to be answered.
///
/// Press ? for the keys and for what every word on the screen means.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// Admin API of a proxy; again for more of them [default: http://127.0.0.1:9190]
    ///
    /// Without a scheme it is http. A name may stand before it: edge-1=http://10.0.0.1:9190
    #[arg(short, long, value_name = "[NAME=]URL")]
    pub(crate) connect: Vec<String>,

    /// More proxies, one [NAME=]URL a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    pub(crate) connect_file: Option<PathBuf>,

    /// File that holds the token that the admin API wants
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Certificates (PEM) to trust instead of the public ones
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Certificate chain (PEM) to show, where the admin API wants one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Only look: drain, retry, reload and shutdown are off
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Colours; NO_COLOR in the environment means mono [default: dark]
    #[arg(long, value_enum)]
    pub(crate) theme: Option<Theme>,

    /// Draw with ASCII only; the default where the locale is not UTF-8
    #[arg(long)]
    pub(crate) ascii: bool,

    /// Play a recorded session, to see the console without a proxy
    #[arg(long, conflicts_with_all = ["connect", "connect_file", "play", "record"])]
    pub(crate) demo: bool,

    /// Play a session that --record has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["connect", "connect_file", "record"])]
    pub(crate) play: Option<PathBuf>,

    /// Write everything that comes from the proxies to a new file, for --play
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Print one screen as text and exit: 0 if every proxy answered, 1 if not
    #[arg(long)]
    pub(crate) snapshot: bool,

    /// Columns of the snapshot [default: those of the terminal, or 80]
    #[arg(long, value_name = "N", requires = "snapshot", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) width: Option<u16>,

    /// Rows of the snapshot [default: those of the terminal, or 24]
    #[arg(long, value_name = "N", requires = "snapshot", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) height: Option<u16>,

    /// Which screen the snapshot shows
    #[arg(long, value_enum, default_value = "overview", requires = "snapshot")]
    pub(crate) screen: SnapshotScreen,

    /// The virtual cluster that is selected at the beginning, or whose detail the snapshot shows
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,

    /// Seconds into the recording at which the snapshot is taken
    #[arg(long, value_name = "SECONDS", requires = "snapshot", default_value_t = 20)]
    pub(crate) at: u64,
}

/// Which screen a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnapshotScreen {
    /// All virtual clusters.
    Overview,
    /// One of them: --cluster, or the first.
    Detail,
    /// The journal.
    Events,
}

const EXAMPLES: &str = "\
Examples:
  kroxy-console                                   the proxy on this machine
  kroxy-console --demo                            a recorded session, without any proxy
  kroxy-console -c a=http://10.0.0.1:9190 -c b=http://10.0.0.2:9190 --token-file token
  kroxy-console --snapshot --width 120 > screen.txt
  kroxy-console --record session.jsonl            then: kroxy-console --play session.jsonl

Keys (? shows all):
  arrows move   Enter detail   e events   / filter   s sort   Space freeze
  d drain   r retry   R reload   X shutdown   q quit";

const DEFAULT_PROXY: &str = "http://127.0.0.1:9190";

impl Args {
    /// Labels and addresses of the proxies, at least one.
    pub(crate) fn proxies(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut given = self.connect.clone();
        if let Some(path) = &self.connect_file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            given.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        }
        if given.is_empty() {
            given.push(DEFAULT_PROXY.to_owned());
        }
        if given.len() > PROXIES_MAX {
            bail!("{} proxies are too many for one console: at most {PROXIES_MAX}", given.len());
        }
        given.iter().map(|text| proxy(text)).collect()
    }

    /// Colours: what was asked for, else what the environment wants.
    pub(crate) fn theme(&self, no_color: bool) -> Theme {
        self.theme.unwrap_or(if no_color { Theme::Mono } else { Theme::Dark })
    }
}

/// `[NAME=]URL` as a label and an address without a slash at its end.
fn proxy(text: &str) -> anyhow::Result<(String, String)> {
    let (name, url) = match text.split_once('=') {
        Some((name, url)) if !name.contains(['/', ':']) => (Some(name.trim()), url.trim()),
        _ => (None, text.trim()),
    };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let url = url.trim_end_matches('/').to_owned();
    let parsed: ureq::http::Uri = url.parse().with_context(|| format!("{text} is not a URL"))?;
    let authority = parsed.authority().with_context(|| format!("{text} names no host"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        bail!("{text}: an admin API is reached by http or https");
    }
    if authority.as_str().contains('@') {
        bail!("{text}: a secret does not belong into a URL; --token-file takes a token");
    }
    Ok((name.filter(|name| !name.is_empty()).unwrap_or(authority.as_str()).to_owned(), url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Args {
        Args::try_parse_from(["kroxy-console"].iter().chain(args)).expect("valid arguments")
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn without_arguments_it_is_the_proxy_on_this_machine() {
        let proxies = parsed(&[]).proxies().expect("there is a default");
        assert_eq!(proxies, [("127.0.0.1:9190".to_owned(), "http://127.0.0.1:9190".to_owned())]);
    }

    #[test]
    fn proxies_have_names_or_are_called_by_their_address() {
        let proxies = parsed(&["-c", "edge=https://kroxy.example:9190/", "-c", "[::1]:9190"]).proxies();
        let proxies = proxies.expect("both are addresses");
        assert_eq!(proxies[0], ("edge".to_owned(), "https://kroxy.example:9190".to_owned()));
        assert_eq!(proxies[1], ("[::1]:9190".to_owned(), "http://[::1]:9190".to_owned()));
    }

    #[test]
    fn what_is_no_admin_api_is_refused() {
        for wrong in ["ftp://kroxy.example", "http://", "http://me:secret@kroxy.example", "http://a b"] {
            assert!(parsed(&["-c", wrong]).proxies().is_err(), "{wrong}");
        }
    }
}
