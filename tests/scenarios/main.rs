//! Scenarios: the real binary, as its operator and its users meet it. Each test's name is the sentence that it holds.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: a panic is their report"
)]

mod agent;
mod daemon;
mod fetch;
mod http_floods;
mod identity;
mod jwt;
mod metadata;
#[path = "../support/mtls.rs"]
mod mtls;
mod operator;
mod process;
mod proxy_floods;
mod proxy_refusals;
mod proxy_shares;
mod reactions;
mod routes;
mod secret_discovery;
mod secret_discovery_nodes;
mod secret_discovery_slow;
mod secrets;
mod spiffe;
mod tokens;
mod tokens_denied;
mod user;
mod workload;
mod workload_attested;
mod workload_denied;
mod workload_misuse;
mod workload_slow;
mod xds;
