//! Configuration files: text in, good values or all that is wrong out.
//!
//! A file is RON (<https://github.com/ron-rs/ron>). It is read in two steps: `ron` and `serde` make the raw fields of it,
//! and those become [`Config`] or problems. Each problem knows its field, so its place in the text is found by walking the
//! text along the field's path.

mod describe;
mod error;
mod hints;
mod locate;
mod parse;
mod parse_sasl;
mod parse_tls;
mod raw;
mod raw_sasl;
mod raw_tls;
#[cfg(test)]
mod reference;
mod secrets;
mod syntax;
mod units;

pub use describe::describe;
pub use error::{ConfigError, Invalid, Problem};

use kroxy_core::config::Config;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Bytes: the largest file that is read. A virtual cluster takes about 1 KiB.
pub(crate) const FILE_MAX: usize = 16 << 20;

/// Reads a configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let bytes = read(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    if bytes.len() > FILE_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), max: FILE_MAX });
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(parse_within(folder, &path.display().to_string(), &bytes)?)
}

/// What a file holds; of one that is too large only its beginning, which is too large as well.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a configuration from what a file called `name` holds. Files that it names are looked for in the working folder.
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Config, Invalid> {
    parse_within(Path::new(""), name, bytes)
}

/// The same for a file in this folder.
pub(crate) fn parse_within(folder: &Path, name: &str, bytes: &[u8]) -> Result<Config, Invalid> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(folder, name, text),
        Err(e) => {
            let text = String::from_utf8_lossy(bytes);
            let at = e.valid_up_to();
            let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            let problem = Problem::within(&locate::FieldPath::default(), span, "here", "this is no text in UTF-8");
            Err(Invalid::new(name, &text, vec![problem.with_help(Some("save the file in UTF-8"))]))
        }
    }
}

/// Reads a configuration from a text called `name`. Files that it names are looked for in the working folder.
pub fn parse_str(name: &str, text: &str) -> Result<Config, Invalid> {
    parse_text(Path::new(""), name, text)
}

fn parse_text(folder: &Path, name: &str, text: &str) -> Result<Config, Invalid> {
    let raw = syntax::read(text).map_err(|problem| Invalid::new(name, text, vec![problem]))?;
    parse::parse(text, folder, raw).map_err(|problems| Invalid::new(name, text, problems))
}

#[cfg(test)]
mod tests;
