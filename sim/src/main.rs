//! `kroxy-sim`: plays simulations, one or many, and writes down what a failure needs to be seen again.

mod command;

use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    sim::may_run()?;
    command::run(command::Args::parse())
}
