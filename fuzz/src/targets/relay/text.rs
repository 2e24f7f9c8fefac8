//! The text form of a story, in which it is kept.

use super::{Step, Story};
use crate::case::{NotACase, hex, unhex};
use kroxy_core::relay::Leg;
use std::{fmt, str::FromStr};

const fn name(leg: Leg) -> &'static str {
    match leg {
        Leg::Client => "client",
        Leg::Upstream => "upstream",
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pieces {}", self.pieces.iter().map(usize::to_string).collect::<Vec<_>>().join(" "))?;
        for (is_so, word) in [(self.admits, "admits"), (self.logs_in, "logs-in")] {
            if is_so {
                writeln!(f, "{word}")?;
            }
        }
        for step in &self.steps {
            match step {
                Step::Examined => writeln!(f, "examined")?,
                Step::NotExamined => writeln!(f, "not-examined")?,
                Step::Secrets => writeln!(f, "secrets")?,
                Step::NoSecrets => writeln!(f, "no-secrets")?,
                Step::Bytes(leg, bytes) => writeln!(f, "{} {}", name(*leg), hex(bytes))?,
                Step::Resolved => writeln!(f, "resolved")?,
                Step::Unresolved => writeln!(f, "unresolved")?,
                Step::Connected => writeln!(f, "connected")?,
                Step::Refused => writeln!(f, "refused")?,
                Step::Eof(leg) => writeln!(f, "eof {}", name(*leg))?,
                Step::Broke(leg) => writeln!(f, "broke {}", name(*leg))?,
                Step::Drain => writeln!(f, "drain")?,
                Step::Later(ms) => writeln!(f, "later {ms}")?,
                Step::Expect(leg, bytes) => writeln!(f, "expect-{} {}", name(*leg), hex(bytes))?,
            }
        }
        Ok(())
    }
}

impl FromStr for Story {
    type Err = NotACase;

    fn from_str(text: &str) -> Result<Self, NotACase> {
        let mut story = Self { pieces: Vec::new(), admits: false, logs_in: false, steps: Vec::new() };
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let leg = || match rest {
                "client" => Ok(Leg::Client),
                "upstream" => Ok(Leg::Upstream),
                _ => Err(NotACase::line(line)),
            };
            let step = match word {
                "pieces" => {
                    let sizes = rest.split(' ').map(str::parse).collect::<Result<_, _>>();
                    story.pieces = sizes.map_err(|_| NotACase::line(line))?;
                    continue;
                }
                "admits" => {
                    story.admits = true;
                    continue;
                }
                "logs-in" => {
                    story.logs_in = true;
                    continue;
                }
                "examined" => Step::Examined,
                "not-examined" => Step::NotExamined,
                "secrets" => Step::Secrets,
                "no-secrets" => Step::NoSecrets,
                "client" => Step::Bytes(Leg::Client, unhex(rest)?),
                "upstream" => Step::Bytes(Leg::Upstream, unhex(rest)?),
                "resolved" => Step::Resolved,
                "unresolved" => Step::Unresolved,
                "connected" => Step::Connected,
                "refused" => Step::Refused,
                "eof" => Step::Eof(leg()?),
                "broke" => Step::Broke(leg()?),
                "drain" => Step::Drain,
                "later" => Step::Later(rest.parse().map_err(|_| NotACase::line(line))?),
                "expect-client" => Step::Expect(Leg::Client, unhex(rest)?),
                "expect-upstream" => Step::Expect(Leg::Upstream, unhex(rest)?),
                _ => return Err(NotACase::line(line)),
            };
            story.steps.push(step);
        }
        Ok(story)
    }
}
