//! kroxy inside another program: `cargo run --example embedded -- proxy.ron`.

use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Proxy, Source},
};
use std::{path::PathBuf, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let path = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "proxy.ron".into()));
    let configuration = match config::load(&path) {
        Ok(configuration) => configuration,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(1);
        }
    };
    let proxy = Proxy::new(load::loaded(configuration), Source::file(path), OsNet, Clock::system(), 1);
    let lifetime = proxy.startup().expect("a new proxy can be started");
    // Dropping the lifetime would stop the proxy gracefully as well.
    let ended = tokio::select! {
        ended = lifetime => ended,
        _ = tokio::signal::ctrl_c() => {
            proxy.shutdown("Ctrl-C");
            proxy.ended().await
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
