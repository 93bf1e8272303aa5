//! How soon a rotation is seen: the run of `rotation_under_load`, for the times of an optimised build. Fails beyond the bar of the project:
//! p50 5 ms, p99 25 ms.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark talks to who runs it; a panic is the report"
)]

#[path = "support/rotation.rs"]
mod rotation;

use rotation::percentile;
use std::process::ExitCode;
use std::time::Duration;

const ROTATIONS: usize = 1000;
const P50: Duration = Duration::from_millis(5);
const P99: Duration = Duration::from_millis(25);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(rotation::run(ROTATIONS));
    println!("{report}");
    for failure in &report.failures {
        println!("{failure}");
    }
    let in_time = percentile(&report.shown, 50) <= P50 && percentile(&report.shown, 99) <= P99;
    println!(
        "bar: p50 {P50:?}, p99 {P99:?}, no failure: {}",
        if in_time { "held" } else { "missed" }
    );
    if report.failures.is_empty() && in_time {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
