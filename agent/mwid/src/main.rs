//! mwid, the managed workload identity daemon.
//!
//! Rooms by floor; a room may name rooms on lower floors and its own children (tests/floors.rs holds this).

// floor 0: ground
mod backoff;
mod clock;
mod health;
mod http;
mod jwt;
mod proto;
mod random;
mod report;
mod shutdown;
// floor 1: settings
mod config;
mod grpc;
mod telemetry;
// floor 2: platform
mod files;
mod metadata;
mod units;
mod workload_client;
// floor 3: inlets
mod caller;
mod source;
mod tokens;
// floor 4: outlets
mod api;
mod proxy;
mod publish;
mod token_server;
// floor 5: laptop
mod dev;
// floor 6: wiring
mod app;
// floor 7: door
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
