//! What a relay costs, on the Rust toolchain alone: a generator of frames, a sink that answers them, and between them, in turn, kroxy,
//! a relay that copies bytes and knows nothing of them, and HAProxy where it is installed.
//!
//! `cargo run --release -p bench` measures everything, and with `-- --help` tells what can be chosen. All targets
//! take turns within each round, and another one begins each time, so that they share the noise of the machine. What counts
//! is therefore the ratio within a round; its median is reported with its extremes.

mod frames;
mod load;
mod opaque;
mod pace;
#[path = "../../runtime/tests/ports/mod.rs"]
mod ports;
mod report;
mod secret;
mod stalls;
mod target;

use clap::Parser;
use frames::Kind;
use load::{Exchange, Load, Sink};
use pace::Pace;
use report::{Figures, Report};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stalls::Watch;
use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use target::{Target, Which};

/// The bytes that each measurement of a bulk phase moves at most, and the frames that one of small frames does.
const MIB: u64 = 1 << 20;
const SMALL_FRAMES: u64 = 60_000;

/// Frames of a bulk measurement at least, whatever their size.
const FEWEST_FRAMES: u64 = 8;

/// The connections over which the same work is spread.
const CONNECTIONS: [usize; 6] = [1, 10, 100, 1_000, 5_000, 10_000];

/// Requests a second over all connections when a clock sends them, so few that two cores with generator, relay and sink on them
/// are mostly idle; and how many, which takes ten seconds and is two on each of 10,000 connections.
const PACED_PER_SECOND: u32 = 2_000;
const PACED_FRAMES: u64 = 20_000;

/// Descriptors that a process needs besides those of connections.
const SPARE: u64 = 200;

/// A relay that costs more than this many times a copying one has lost its way, however noisy the machine is.
const GUARD: f64 = 3.0;

#[derive(Parser)]
#[command(about = "What a relay costs, beside one that copies and, where it is installed, HAProxy")]
struct Args {
    /// Phases: produce, consume, small, tls, connections, paced, idle, start
    #[arg(
        short,
        long,
        value_delimiter = ',',
        default_value = "produce,consume,small,tls,connections,paced,idle,start"
    )]
    phases: Vec<Phase>,
    /// Targets: opaque, kroxy, haproxy; by default all that are there
    #[arg(short, long, value_delimiter = ',')]
    targets: Vec<Which>,
    /// How often everything is measured
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
    /// MiB that a measurement moves
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// Measure a little of everything, and fail if kroxy costs several times what the copying relay does
    #[arg(long)]
    guard: bool,
    /// Write every measurement to this file, one JSON object a line
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Be the copying relay: listen here, and connect there
    #[arg(long, num_args = 2, value_names = ["LISTEN", "UPSTREAM"], hide = true)]
    opaque: Option<Vec<std::net::SocketAddr>>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Phase {
    /// Large requests, small responses.
    Produce,
    /// Small requests, large responses.
    Consume,
    /// Small requests and responses, one by one and many at a time.
    Small,
    /// Large requests and responses, with TLS between the client and the relay.
    Tls,
    /// The same work over one connection and over thousands.
    Connections,
    /// As many requests a second over one connection as over thousands.
    Paced,
    /// Memory of connections on which nothing happens.
    Idle,
    /// From the start of the process to its first answer, by number of virtual clusters.
    Start,
}

/// One thing that is measured with each target in turn.
struct Work {
    name: String,
    kind: Kind,
    frame: usize,
    connections: usize,
    pace: Pace,
    frames: u64,
    tls: bool,
}

impl Work {
    fn bulk(kind: Kind, frame: usize, connections: usize, bytes: u64) -> Self {
        let frames = (bytes / frame as u64).max(FEWEST_FRAMES);
        let name = format!("{} {} × {connections}", kind.name(), size(frame));
        Self { name, kind, frame, connections, pace: Pace::InFlight(5), frames, tls: false }
    }

    fn small(depth: usize, frames: u64) -> Self {
        Self {
            name: format!("small, {depth} at a time"),
            kind: Kind::Produce,
            frame: 100,
            connections: 4,
            pace: Pace::InFlight(depth),
            frames,
            tls: false,
        }
    }

    fn over_tls(self) -> Self {
        Self { name: format!("{}, TLS", self.name), tls: true, ..self }
    }

    fn paced(self) -> Self {
        let pace = Pace::PerSecond(PACED_PER_SECOND);
        Self { name: format!("{}, paced", self.name), pace, frames: PACED_FRAMES, ..self }
    }
}

/// How many of so many connections this process, and what it starts, may have the descriptors for: two each, and what else there is.
fn connections_of(wanted: usize) -> usize {
    let needed = 2 * wanted as u64 + SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        let above = Rlimit { current: Some(needed), maximum: maximum.map(|maximum| maximum.max(needed)) };
        if setrlimit(Resource::Nofile, above).is_err() {
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }); // more is for root alone
        }
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(needed);
    let connections = usize::try_from(allowed.saturating_sub(SPARE) / 2).unwrap_or(usize::MAX).min(wanted);
    if connections < wanted {
        eprintln!("{connections} connections instead of {wanted}: those need {needed} file descriptors (`ulimit -Hn`)");
    }
    connections
}

fn size(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

fn works(phase: Phase, bytes: u64, guard: bool) -> Vec<Work> {
    let sizes: &[usize] =
        if guard { &[10 << 10, 100 << 10] } else { &[1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20] };
    let spread = || {
        let connections = CONNECTIONS.into_iter().map(connections_of);
        connections.map(|connections| Work::bulk(Kind::Produce, 10 << 10, connections, bytes))
    };
    match phase {
        Phase::Produce => sizes.iter().map(|size| Work::bulk(Kind::Produce, *size, 4, bytes)).collect(),
        Phase::Consume => sizes.iter().map(|size| Work::bulk(Kind::Fetch, *size, 4, bytes)).collect(),
        Phase::Small if guard => vec![Work::small(1, SMALL_FRAMES / 4)],
        Phase::Small => [1, 5, 64].into_iter().map(|depth| Work::small(depth, SMALL_FRAMES)).collect(),
        Phase::Tls => [Kind::Produce, Kind::Fetch]
            .into_iter()
            .flat_map(|kind| [1 << 10, 100 << 10].map(|size| Work::bulk(kind, size, 4, bytes).over_tls()))
            .collect(),
        Phase::Connections => spread().collect(),
        Phase::Paced => spread().map(Work::paced).collect(),
        Phase::Idle | Phase::Start => Vec::new(),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some([listen, upstream]) = args.opaque.as_deref() {
        return opaque::run(*listen, *upstream);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let report = runtime.block_on(measure(&args));
    print!("{report}");
    if args.guard
        && let Some(dearest) = report.dearest("kroxy", "opaque").filter(|(_, ratio)| *ratio > GUARD)
    {
        eprintln!("{}: kroxy costs {:.2} times what a copying relay does, more than {GUARD}", dearest.0, dearest.1);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn measure(args: &Args) -> Report {
    let mut out = args.out.as_ref().map(|path| File::create(path).expect("--out names a file that can be written"));
    let targets = if args.targets.is_empty() { Which::there() } else { args.targets.clone() };
    let phases = if args.guard { vec![Phase::Produce, Phase::Consume, Phase::Small] } else { args.phases.clone() };
    let (rounds, mib) = if args.guard { (3, 64) } else { (args.rounds, args.mib) };
    let mut sink = Sink::start().await;
    let mut report = Report::default();
    let mut keep = |work: &str, which: Which, figures: Figures| {
        eprintln!("{work:29} {which:8} {figures}");
        if let Some(out) = &mut out {
            writeln!(out, "{}", figures.json(work, which)).expect("--out can be written");
        }
        report.keep(work, which, figures);
    };
    for round in 0..rounds {
        let turns = || targets.iter().cycle().skip(round % targets.len()).take(targets.len()).copied();
        for phase in &phases {
            for work in works(*phase, mib * MIB, args.guard) {
                for which in turns().filter(|which| !work.tls || which.speaks_tls()) {
                    keep(&work.name, which, relayed(&mut sink, which, &work).await);
                }
            }
            for which in turns().filter(|_| *phase == Phase::Idle) {
                keep("idle", which, idle(&mut sink, which, false).await);
                if which.speaks_tls() {
                    keep("idle, TLS", which, idle(&mut sink, which, true).await);
                }
            }
            for clusters in [1, 100, 1_000].into_iter().filter(|_| *phase == Phase::Start) {
                sink.serve(Exchange::new(Kind::Produce, 100, Pace::InFlight(1)));
                let took = target::start(sink.at, clusters).await;
                keep(
                    &format!("start, {clusters} clusters"),
                    Which::Kroxy,
                    Figures { started: Some(took), ..Figures::default() },
                );
            }
        }
    }
    report
}

/// Has a target relay what `work` says.
async fn relayed(sink: &mut Sink, which: Which, work: &Work) -> Figures {
    let exchange = Exchange::new(work.kind, work.frame, work.pace);
    sink.serve(exchange.clone());
    let target = Target::start(which, sink.at, work.tls).await;
    let load = Load { at: target.at, exchange, connections: work.connections, frames: work.frames, tls: work.tls };
    let open = load.open().await;
    let watch = if let Pace::PerSecond(_) = work.pace { Watch::start() } else { None };
    let before = target.cpu();
    let done = open.run().await;
    let cpu = target.cpu() - before;
    let (p99_unstalled, stalled) = watch.map(|watch| done.latency_without(&watch.end(), 99)).unzip();
    Figures {
        cpu_per_gib: Some(cpu.as_secs_f64() / (done.bytes as f64 / (1_u64 << 30) as f64)),
        cpu_per_frame: Some(cpu / u32::try_from(done.frames).expect("not that many")),
        p50: done.latency(50),
        p99: done.latency(99),
        p99_unstalled: p99_unstalled.flatten(),
        stalled,
        mib_per_s: Some(done.bytes as f64 / MIB as f64 / done.took.as_secs_f64()),
        frames_per_s: Some(done.frames as f64 / done.took.as_secs_f64()),
        rss_mib: Some(target.rss_kib() as f64 / 1024.0),
        ..Figures::default()
    }
}

/// Connections that have exchanged one request, and then nothing.
async fn idle(sink: &mut Sink, which: Which, tls: bool) -> Figures {
    const CONNECTIONS: usize = 2_000;
    let exchange = Exchange::new(Kind::Produce, 100, Pace::InFlight(1));
    sink.serve(exchange.clone());
    let target = Target::start(which, sink.at, tls).await;
    let load =
        |connections| Load { at: target.at, exchange: exchange.clone(), connections, frames: connections as u64, tls };
    drop(load(10).open().await); // what is allocated once
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (before, cpu, began) = (target.rss_kib(), target.cpu(), Instant::now());
    let open = load(CONNECTIONS).open().await;
    let (took, cpu) = (began.elapsed(), target.cpu() - cpu);
    let grown = target.rss_kib().saturating_sub(before);
    drop(open);
    Figures {
        kib_per_connection: Some(grown as f64 / CONNECTIONS as f64),
        opened_per_s: Some(CONNECTIONS as f64 / took.as_secs_f64()),
        cpu_per_opened: Some(cpu / u32::try_from(CONNECTIONS).expect("not that many")),
        ..Figures::default()
    }
}
