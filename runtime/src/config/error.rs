//! What is wrong with a configuration file, and where, and what would be right.

use super::{
    hints,
    locate::{FieldPath, locate},
    secrets::masked,
};
use crate::limits;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, NamedSource, SourceCode, SourceSpan,
    SpanContents,
};
use std::{fmt, io, ops::Range, path::PathBuf};

/// Columns of a rendered error: what fits a terminal of any kind.
const WIDTH: usize = 100;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{} has more than {max} bytes, which no configuration has", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The file holds no configuration.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl ConfigError {
    /// For people: every problem with a piece of the file, a pointer into it, and what would be right.
    pub fn report(&self, colour: bool) -> String {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } => format!("Error: {self}\n"),
            Self::Invalid(invalid) => invalid.report(colour),
        }
    }

    /// For logs and other programs: a line for each problem, with file, line, column and field.
    pub fn lines(&self) -> String {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } => self.to_string(),
            Self::Invalid(invalid) => invalid.lines(),
        }
    }
}

/// A text that is no configuration. Displayed, it is one line for a log.
#[derive(Debug)]
pub struct Invalid {
    /// Without secrets that do not belong there.
    source: NamedSource<String>,
    /// At least one.
    problems: Vec<Problem>,
}

impl Invalid {
    /// `name` is how the text is called, such as the file's path.
    pub(super) fn new(name: &str, text: &str, problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "without a problem it is valid");
        Self { source: NamedSource::new(name, masked(text)), problems }
    }

    /// All problems that were found. There may be more behind a first one that keeps the text from being read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For people: see [`ConfigError::report`].
    pub fn report(&self, colour: bool) -> String {
        if self.source.inner().lines().any(|line| line.len() > limits::DRAWN_LINE) {
            return self.lines() + "\n";
        }
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1).with_links(false);
        let mut report = String::new();
        for problem in &self.problems {
            let shown = Shown { problem, source: &self.source };
            handler.render_report(&mut report, &shown).expect("a string takes whatever is written to it");
        }
        report
    }
}

impl Invalid {
    /// See [`ConfigError::lines`].
    pub fn lines(&self) -> String {
        self.problems.iter().map(|problem| self.line(problem)).collect::<Vec<_>>().join("\n")
    }

    fn line(&self, problem: &Problem) -> String {
        let (line, column) = problem.position(self.source.inner());
        format!("{}:{line}:{column}: {problem}", self.source.name())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = self.problems.as_slice() else { return f.write_str("no problem") };
        f.write_str(&self.line(first))?;
        match others.len() {
            0 => Ok(()),
            n => write!(f, " (and {n} more)"),
        }
    }
}

impl std::error::Error for Invalid {}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    path: FieldPath,
    what: String,
    /// Where it is, then what it has to do with.
    labels: Vec<(Range<usize>, String)>,
    help: Option<String>,
}

impl Problem {
    /// Something is wrong with the value of a field, which is pointed at; or with a default, where what lacks the field is
    /// pointed at.
    pub(super) fn at(text: &str, path: &FieldPath, what: impl Into<String>) -> Self {
        let span = nearest(text, path);
        Self::within(path, span, "here", what).with_help(hints::right_around(&path.names()))
    }

    /// Something is wrong at a place that may be no value.
    pub(super) fn within(path: &FieldPath, span: Range<usize>, label: &str, what: impl Into<String>) -> Self {
        Self { path: path.clone(), what: what.into(), labels: vec![(span, label.to_owned())], help: None }
    }

    /// Points at another field as well, unless that is not in the text because its value is a default.
    pub(super) fn also(mut self, text: &str, path: &FieldPath, label: &str) -> Self {
        let span = locate(text, path).map(|found| first_line(text, found.value));
        self.labels.extend(span.map(|span| (span, label.to_owned())));
        self
    }

    pub(super) fn with_help(self, help: Option<impl Into<String>>) -> Self {
        Self { help: help.map(Into::into), ..self }
    }

    /// The field, such as `virtual_clusters[1].gateways[0].name`; empty for the file as a whole.
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// What would be right.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Where in the text it is, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.labels.first().map_or(0..0, |(span, _)| span.clone())
    }

    /// Line and column, counted from 1, columns in characters.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.span().start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.steps().is_empty() {
            return f.write_str(&self.what);
        }
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// The value of a field, or of the nearest field around it that is in the text; of several lines only the first.
fn nearest(text: &str, path: &FieldPath) -> Range<usize> {
    match locate(text, path) {
        Some(found) => first_line(text, found.value),
        None if path.steps().is_empty() => 0..0,
        None => nearest(text, &path.parent()),
    }
}

/// The part of a span that stands on its first line.
pub(super) fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let line = text.get(span.clone()).and_then(|value| value.lines().next()).unwrap_or_default();
    span.start..span.start + line.trim_end().len()
}

/// A problem together with its text, as `miette` wants it.
struct Shown<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.problem, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.problem.labels.iter().enumerate();
        Some(Box::new(labels.map(|(n, (span, label))| {
            let label = Some(label.clone());
            let span = SourceSpan::from(span.clone());
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, span)
            } else {
                LabeledSpan::new_with_span(label, span)
            }
        })))
    }
}

impl SourceCode for Shown<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        self.source.read_span(span, before, after)
    }
}
