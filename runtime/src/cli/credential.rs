//! `kroxy scram-credential`: makes an entry of a credentials file, so that no password has to be in one.

use crate::{
    load,
    sasl::{self, credentials},
};
use bytes::Bytes;
use clap::{Args, ValueHint};
use kroxy_core::{
    limits,
    sasl::{
        Mechanism,
        scram::{Credential, Iterations},
    },
};
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

/// What `kroxy scram-credential` takes.
#[derive(Args, Debug)]
pub(super) struct CredentialArgs {
    /// The name of the user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// SCRAM-SHA-256 or SCRAM-SHA-512
    #[arg(long, value_name = "MECHANISM", default_value = "SCRAM-SHA-512")]
    mechanism: Mechanism,
    /// How often the hash is repeated: the more, the longer a guess takes, and a client's login
    #[arg(long, value_name = "N", default_value_t = limits::SCRAM_ITERATIONS)]
    iterations: u32,
    /// The file with the password; without it, it is the first line of standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
}

impl CredentialArgs {
    /// The entry, or why there is none.
    pub(super) fn entry(&self) -> Result<String, String> {
        let scram =
            credentials::scram(self.mechanism).ok_or_else(|| format!("{} has no credentials", self.mechanism))?;
        let iterations = Iterations::new(self.iterations)
            .ok_or_else(|| format!("{} iterations are too few or too many: 4096 to 100000", self.iterations))?;
        if self.user.is_empty() || self.user.contains('\0') {
            return Err("no client could have this name".to_owned());
        }
        let password = self.password()?;
        let salt = sasl::random::<{ limits::SCRAM_SALT }>()?;
        let credential = Credential::of_password(scram, &password, salt.to_vec(), iterations);
        Ok(credentials::entry(&self.user, scram, &credential))
    }

    fn password(&self) -> Result<Bytes, String> {
        let (held, of) = match &self.password_file {
            Some(path) => {
                let of = path.display().to_string();
                (load::read(path).map_err(|e| format!("{of} cannot be read: {e}"))?, of)
            }
            None => {
                if io::stdin().is_terminal() {
                    let _ = write!(io::stderr(), "Password (it is shown as you type): "); // it is asked for all the same
                }
                let mut line = Vec::new();
                io::stdin().lock().read_until(b'\n', &mut line).map_err(|e| format!("standard input: {e}"))?;
                (Bytes::from(line), "standard input".to_owned())
            }
        };
        sasl::line(&held).ok_or_else(|| format!("{of} has no password in it, or more than one line"))
    }
}
