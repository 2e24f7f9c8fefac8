//! What was measured, as tables.

use crate::target::Which;
use std::{collections::BTreeMap, fmt, time::Duration};

/// One measurement.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    /// Processor seconds of the relay for each GiB of requests and responses.
    pub(crate) cpu_per_gib: Option<f64>,
    pub(crate) cpu_per_frame: Option<Duration>,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// That of the requests around which no processor stood still.
    pub(crate) p99_unstalled: Option<Duration>,
    /// How many of 100 requests are the others.
    pub(crate) stalled: Option<f64>,
    pub(crate) mib_per_s: Option<f64>,
    /// Requests answered in a second; when a clock sends them, fewer than it should tell that the machine could not keep up.
    pub(crate) frames_per_s: Option<f64>,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) kib_per_connection: Option<f64>,
    /// Connections opened in a second, the first answer on each included.
    pub(crate) opened_per_s: Option<f64>,
    /// What the relay spends on one of these.
    pub(crate) cpu_per_opened: Option<Duration>,
    pub(crate) started: Option<Duration>,
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Figures {
    /// Each with its name and unit, if it was measured.
    fn named(&self) -> [(&'static str, Option<f64>); 13] {
        [
            ("CPU-s/GiB", self.cpu_per_gib),
            ("CPU-µs/frame", self.cpu_per_frame.map(microseconds)),
            ("p50 µs", self.p50.map(microseconds)),
            ("p99 µs", self.p99.map(microseconds)),
            ("unstalled p99 µs", self.p99_unstalled.map(microseconds)),
            ("stalled %", self.stalled),
            ("MiB/s", self.mib_per_s),
            ("frames/s", self.frames_per_s),
            ("RSS MiB", self.rss_mib),
            ("KiB/connection", self.kib_per_connection),
            ("opened/s", self.opened_per_s),
            ("CPU-µs/opened", self.cpu_per_opened.map(microseconds)),
            ("start ms", self.started.map(|took| took.as_secs_f64() * 1e3)),
        ]
    }

    /// What ratios are made of.
    fn cost(&self) -> Option<f64> {
        self.cpu_per_gib.or(self.kib_per_connection)
    }

    pub(crate) fn json(&self, work: &str, which: Which) -> serde_json::Value {
        let measured = self.named().into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut line = serde_json::json!({ "work": work, "target": which.name() });
        for (name, value) in measured {
            line[name] = value.into();
        }
        line
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.named() {
            if let Some(value) = value {
                write!(f, " {name} {value:.2}")?;
            }
        }
        Ok(())
    }
}

/// All measurements, by what was done and who did it, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Report(Vec<(String, BTreeMap<Which, Vec<Figures>>)>);

impl Report {
    pub(crate) fn keep(&mut self, work: &str, which: Which, figures: Figures) {
        let place = self.0.iter().position(|(name, _)| name == work).unwrap_or_else(|| {
            self.0.push((work.to_owned(), BTreeMap::new()));
            self.0.len() - 1
        });
        self.0[place].1.entry(which).or_default().push(figures);
    }

    /// The work in which the median of the ratios of these two is greatest.
    pub(crate) fn dearest(&self, which: &str, than: &str) -> Option<(&str, f64)> {
        let find = |by: &BTreeMap<Which, Vec<Figures>>, name: &str| {
            by.iter().find(|(which, _)| which.name() == name).map(|(_, figures)| figures.clone())
        };
        let ratios = self
            .0
            .iter()
            .filter_map(|(work, by)| Some((work.as_str(), median(&ratios(&find(by, which)?, &find(by, than)?))?)));
        ratios.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

/// The ratios of their costs, round by round.
fn ratios(of: &[Figures], to: &[Figures]) -> Vec<f64> {
    let mut ratios: Vec<_> = of.iter().zip(to).filter_map(|(of, to)| Some(of.cost()? / to.cost()?)).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Figures::default().named().map(|(name, _)| name);
        writeln!(f, "| work | relay | {} | of opaque's cost | of haproxy's cost |", names.join(" | "))?;
        writeln!(f, "|---|---|{}", "---|".repeat(names.len() + 2))?;
        for (work, by) in &self.0 {
            for (which, figures) in by {
                write!(f, "| {work} | {which} |")?;
                for place in 0..names.len() {
                    let mut values: Vec<_> = figures.iter().filter_map(|figures| figures.named()[place].1).collect();
                    values.sort_by(f64::total_cmp);
                    match median(&values) {
                        Some(value) => write!(f, " {value:.2} |")?,
                        None => write!(f, " |")?,
                    }
                }
                for than in [Which::Opaque, Which::Haproxy] {
                    let ratios = by.get(&than).filter(|_| than != *which).map(|than| ratios(figures, than));
                    match ratios.as_deref() {
                        Some(ratios @ [least, .., most]) => {
                            write!(f, " {:.2} [{least:.2}–{most:.2}] |", median(ratios).expect("some"))?;
                        }
                        Some([only]) => write!(f, " {only:.2} |")?,
                        Some([]) | None => write!(f, " |")?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
