//! What the demo says on standard output.

use super::workload::{Latency, Outcome, Progress};
use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    time::Duration,
};

/// Where the demo speaks.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    /// A terminal: the last line of progress is written over.
    rewrites: bool,
    has_progress: bool,
}

impl Screen<io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let rewrites = out.is_terminal();
        Self { out, rewrites, has_progress: false }
    }
}

impl<W: Write> Screen<W> {
    /// Anything that takes text; `rewrites` where a carriage return goes back to the start of the line.
    pub const fn new(out: W, rewrites: bool) -> Self {
        Self { out, rewrites, has_progress: false }
    }

    /// What was given to [`Self::new`].
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Shows what has been started.
    pub(super) fn picture(&mut self, proxy: SocketAddr, brokers: &BTreeMap<i32, SocketAddr>) -> io::Result<()> {
        let plural = if brokers.len() == 1 { "" } else { "s" };
        writeln!(
            self.out,
            "kroxy demo: {} embedded broker{plural} behind one proxy, all in this process\n",
            brokers.len()
        )?;
        let last = brokers.len().saturating_sub(1);
        for (place, (node, address)) in brokers.iter().enumerate() {
            let branch = match (place, place == last) {
                (0, true) => '─',
                (0, false) => '┬',
                (_, true) => '└',
                (_, false) => '├',
            };
            let left = format!("  producer, consumers ──▶ kroxy {proxy} ─");
            let left = if place == 0 { left } else { " ".repeat(left.chars().count()) };
            writeln!(self.out, "{left}{branch}─▶ broker {node}  {address}")?;
        }
        writeln!(self.out)?;
        self.out.flush()
    }

    /// Shows how far it is.
    pub(super) fn progress(&mut self, progress: &Progress, rate: f64) -> io::Result<()> {
        if !self.has_progress {
            self.has_progress = true;
            let heads = ["time", "records in", "records out", "rate", "p50", "p99"];
            let [time, records_in, records_out, rate, p50, p99] = heads;
            writeln!(self.out, "  {time:>7}  {records_in:>14}  {records_out:>14}  {rate:>12}  {p50:>9}  {p99:>9}")?;
        }
        let Progress { elapsed, records_in, records_out, latency, faults, .. } = progress;
        let line = format!(
            "  {:>7}  {:>14}  {:>14}  {:>12}  {:>9}  {:>9}{}",
            format!("{:.0} s", elapsed.as_secs_f64()),
            Count(*records_in).to_string(),
            Count(*records_out).to_string(),
            format!("{}/s", Count(rate.round() as u64)),
            Span(latency.p50).to_string(),
            Span(latency.p99).to_string(),
            if faults.is_clean() { "" } else { "  ✗ faults" },
        );
        if self.rewrites {
            write!(self.out, "\r\x1b[K{line}")?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    /// Says what to try next.
    pub(super) fn invitation(&mut self, proxy: SocketAddr, admin: Option<SocketAddr>, topic: &str) -> io::Result<()> {
        self.end_line()?;
        writeln!(self.out, "\nAny Kafka client can be pointed at {proxy}, for example:")?;
        let kafka = format!("--bootstrap-server {proxy}");
        let mut lines = vec![
            ("brokers", format!("kcat -b {proxy} -L")),
            ("these records", format!("kcat -b {proxy} -t {topic} -C -o end -c 3")),
            ("their consumers", format!("kafka-consumer-groups.sh {kafka} --describe --group {topic}")),
            ("a topic of yours", format!("kafka-console-producer.sh {kafka} --topic hello")),
            ("and back", format!("kafka-console-consumer.sh {kafka} --topic hello --from-beginning")),
        ];
        if let Some(admin) = admin {
            lines.push(("the proxy's view", format!("curl -s http://{admin}/api/v1/status")));
            lines.push(("the same, live", format!("kroxy-console --connect http://{admin}")));
        }
        for (what, command) in lines {
            writeln!(self.out, "  {what:<18}{command}")?;
        }
        writeln!(self.out, "Ctrl-C ends it with a summary.\n")?;
        self.out.flush()
    }

    /// Shows how it ended.
    pub(super) fn summary(&mut self, outcome: &Outcome, is_clean: bool) -> io::Result<()> {
        self.end_line()?;
        let Outcome { sent, received, bytes, elapsed, latency, faults, failure } = outcome;
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let Latency { p50, p90, p99, max } = latency;
        let (sent, back) = (Count(*sent), Count(*received));
        writeln!(self.out, "\n  records   {sent} sent, {back} received in {}", Span(*elapsed))?;
        writeln!(self.out, "  bytes     {}, {}/s", Size(*bytes), Size((*bytes as f64 / seconds) as u64))?;
        writeln!(self.out, "  rate      {} records/s", Count((*received as f64 / seconds) as u64))?;
        let (p50, p90, p99, max) = (Span(*p50), Span(*p90), Span(*p99), Span(*max));
        writeln!(self.out, "  latency   p50 {p50}   p90 {p90}   p99 {p99}   max {max}   (end to end)")?;
        writeln!(
            self.out,
            "  faults    {} missing, {} duplicated, {} out of order, {} corrupt\n",
            Count(faults.missing),
            Count(faults.duplicated),
            Count(faults.out_of_order),
            Count(faults.corrupt),
        )?;
        match (is_clean, failure) {
            (true, _) => writeln!(self.out, "✓ every record came back once, in order and unchanged")?,
            (false, None) => writeln!(self.out, "✗ not every record came back once, in order and unchanged")?,
            (false, Some(failure)) => writeln!(self.out, "✗ {failure}")?,
        }
        self.out.flush()
    }

    /// Ends a line of progress that stands open.
    fn end_line(&mut self) -> io::Result<()> {
        if self.rewrites && self.has_progress { writeln!(self.out) } else { Ok(()) }
    }
}

/// A number with its thousands apart.
struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.char_indices() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A duration with three significant digits.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros() as f64;
        let (value, unit) = match self.0.as_micros() {
            0..1_000 => return write!(f, "{micros:.0} µs"),
            1_000..1_000_000 => (micros / 1e3, "ms"),
            _ => (micros / 1e6, "s"),
        };
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.decimals$} {unit}")
    }
}

/// Bytes with a unit that leaves few digits.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        for unit in ["B", "KiB", "MiB"] {
            if value < 1024.0 {
                let decimals = usize::from(unit != "B");
                return write!(f, "{value:.decimals$} {unit}");
            }
            value /= 1024.0;
        }
        write!(f, "{value:.1} GiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Faults;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(Count(number).to_string(), text);
        }
        let spans = [(0, "0 µs"), (999, "999 µs"), (1_234, "1.23 ms"), (12_345, "12.3 ms"), (123_456, "123 ms")];
        for (micros, text) in spans.into_iter().chain([(1_500_000, "1.50 s"), (90_000_000, "90.0 s")]) {
            assert_eq!(Span(Duration::from_micros(micros)).to_string(), text);
        }
        for (bytes, text) in [(1, "1 B"), (1_536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 40, "5120.0 GiB")] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_summary_names_every_fault_and_the_verdict() {
        let span = Duration::from_millis(2);
        let outcome = Outcome {
            sent: 1_000,
            received: 998,
            bytes: 99_800,
            elapsed: Duration::from_secs(2),
            latency: Latency { p50: span, p90: span, p99: span, max: span },
            faults: Faults { missing: 2, ..Faults::default() },
            failure: None,
        };
        let mut screen = Screen::new(Vec::new(), false);
        screen.summary(&outcome, outcome.is_clean()).expect("a vector takes everything");
        let text = String::from_utf8(screen.into_inner()).expect("text");
        assert!(text.contains("1,000 sent, 998 received in 2.00 s"), "{text}");
        assert!(text.contains("2 missing, 0 duplicated, 0 out of order, 0 corrupt"), "{text}");
        assert!(text.ends_with("✗ not every record came back once, in order and unchanged\n"), "{text}");
    }
}
