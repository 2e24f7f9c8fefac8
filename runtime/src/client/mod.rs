//! The commands that talk to the admin API of a proxy that runs: what they ask, and how they end.

mod access;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use access::Access;

use self::access::Answer;
use clap::{Subcommand, ValueEnum, ValueHint};
use kroxy_core::{
    config::ClusterName,
    reload::Plan,
    status::{ReloadOutcome, ReloadReport, Status},
};
use serde::de::DeserializeOwned;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What a proxy that runs can be asked for.
#[derive(Subcommand, Debug)]
pub(crate) enum Ask {
    /// Show what a proxy that runs is doing
    Status(Access),
    /// Take clients off a virtual cluster; it stays drained until it is retried
    Drain {
        /// The virtual cluster
        name: ClusterName,
        #[command(flatten)]
        access: Access,
    },
    /// Bring a failed or drained virtual cluster back now
    Retry {
        /// The virtual cluster
        name: ClusterName,
        #[command(flatten)]
        access: Access,
    },
    /// Put the proxy's configuration file in force, and say how that went once it is over
    #[command(after_help = RELOAD_AFTER)]
    Reload {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        access: Access,
    },
    /// Say what a reload would do if the proxy's configuration file held what this file holds; change nothing
    #[command(after_help = PLAN_AFTER)]
    Plan {
        /// The configuration to come
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        access: Access,
    },
    /// Stop a proxy gracefully, as SIGTERM does
    Shutdown(Access),
}

const RELOAD_AFTER: &str = "\
Exit codes:
  0  everything asked for is in force, or there was nothing to change
  1  it is not, or only in part: the answer says why
  3  the proxy gave no answer
With --dry-run they are those of `kroxy plan`.";

const PLAN_AFTER: &str = "\
The running proxy compares, so what counts is what is really in force. It reads this file's text as if it stood in the \
place of its own configuration file: files that the text names are the proxy's, and relative names are looked up \
where that file stands.

Exit codes:
  0   it would change nothing
  10  it would change something
  1   it is invalid, or changes what takes a restart
  3   the proxy gave no answer";

/// How an answer is printed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// The JSON that the admin API answers with (docs/openapi.json).
    Json,
}

/// How a command ended that asked a proxy for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// As asked.
    Done,
    /// The plan has changes in it.
    Changes,
    /// The proxy refused, or it did not go well.
    NotDone,
}

/// What stands between a question and its answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAsked {
    /// A file that belongs to the question cannot be used.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The proxy cannot be reached, or did not answer in time.
    #[error("no answer from {url}: {why}")]
    NoAnswer {
        /// The admin API.
        url: String,
        /// Why.
        why: String,
    },
    /// What came back is no answer of a kroxy.
    #[error("the answer of {url} cannot be read: {why}")]
    Unreadable {
        /// The admin API.
        url: String,
        /// Why.
        why: String,
    },
    /// The answer cannot be printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl Ask {
    /// Asks, and prints the answer.
    pub(crate) fn ask(&self, out: &mut dyn Write) -> Result<Ended, NotAsked> {
        let (access, answer) = match self {
            Self::Status(access) => (access, access.get("/api/v1/status")?),
            Self::Drain { name, access } => (access, access.post(&format!("/api/v1/clusters/{name}/drain"), &[])?),
            Self::Retry { name, access } => (access, access.post(&format!("/api/v1/clusters/{name}/retry"), &[])?),
            Self::Reload { dry_run, access } => {
                (access, access.post(&format!("/api/v1/reload?dry_run={dry_run}"), &[])?)
            }
            Self::Plan { file, access } => {
                let why = |e: io::Error| NotAsked::File { path: file.clone(), why: e.to_string() };
                let contents = fs::read(file).map_err(why)?;
                (access, access.post(&format!("/api/v1/plan?name={}", escaped(file)), &contents)?)
            }
            Self::Shutdown(access) => (access, access.post("/api/v1/shutdown", &[])?),
        };
        let ended = self.ended(access, &answer)?;
        match access.output {
            Output::Json => {
                out.write_all(&answer.body)?;
                out.write_all(b"\n")?;
            }
            Output::Text => out.write_all(self.text(access, &answer)?.as_bytes())?,
        }
        Ok(ended)
    }

    fn ended(&self, access: &Access, answer: &Answer) -> Result<Ended, NotAsked> {
        if !answer.is_success() {
            return Ok(Ended::NotDone);
        }
        Ok(match self {
            Self::Status(_) | Self::Drain { .. } | Self::Retry { .. } | Self::Shutdown(_) => Ended::Done,
            Self::Reload { dry_run: false, .. } => match access.read::<ReloadReport>(answer)?.outcome {
                ReloadOutcome::Applied | ReloadOutcome::Unchanged => Ended::Done,
                ReloadOutcome::Partial
                | ReloadOutcome::Failed
                | ReloadOutcome::Rejected
                | ReloadOutcome::Busy
                | ReloadOutcome::Unknown => Ended::NotDone,
            },
            Self::Reload { dry_run: true, .. } | Self::Plan { .. } => {
                let plan: Plan = access.read(answer)?;
                match (plan.refused.is_empty(), plan.is_unchanged()) {
                    (false, _) => Ended::NotDone,
                    (true, false) => Ended::Changes,
                    (true, true) => Ended::Done,
                }
            }
        })
    }

    fn text(&self, access: &Access, answer: &Answer) -> Result<String, NotAsked> {
        Ok(match self {
            // A reload that was not begun has a report all the same.
            Self::Reload { dry_run: false, .. } => match serde_json::from_slice(&answer.body) {
                Ok(report) => show::reload(&report),
                Err(_) => show::words(answer),
            },
            _ if !answer.is_success() => show::words(answer),
            Self::Status(_) => show::status(&access.read::<Status>(answer)?),
            Self::Reload { dry_run: true, .. } | Self::Plan { .. } => access.read::<Plan>(answer)?.to_string(),
            Self::Drain { .. } | Self::Retry { .. } | Self::Shutdown(_) => show::words(answer),
        })
    }
}

/// A path as a value in the query of a URL.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => url.push(char::from(*byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
        url
    })
}

impl Access {
    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, NotAsked> {
        serde_json::from_slice(&answer.body).map_err(|e| NotAsked::Unreadable { url: self.url(), why: e.to_string() })
    }
}
