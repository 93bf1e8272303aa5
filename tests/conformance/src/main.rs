//! `conformance`: runs the suite against a socket, or serves the model.
//!
//! Exit codes: 0 no MUST is broken, 1 one is, 2 there was nothing to look at (no server, or no identity for this caller), 64 the command line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is its purpose"
)]

mod args;

use args::{Args, AskDenied, Command, Model as ModelArgs, Run};
use clap::Parser;
use spiffe_conformance::checks::{Check, Finding, Level};
use spiffe_conformance::denied::Verdicts;
use spiffe_conformance::model::{Flaw, Model};
use spiffe_conformance::options::Times;
use spiffe_conformance::run::{Line, run};
use spiffe_conformance::{checks, report};
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::List) => {
            print!("{}", report::list(checks::all()));
            ExitCode::SUCCESS
        }
        Some(Command::Model(model)) => serve(model).await,
        Some(Command::AskDenied(ask)) => ask_denied(&ask).await,
        None => look(args.run).await,
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::from(64)
}

async fn look(args: Run) -> ExitCode {
    let only = args.only.clone();
    let json = args.json;
    if let Some(unknown) = only
        .iter()
        .find(|only| !checks::all().any(|check| is_wanted(check, only)))
    {
        return usage(&format!(
            "no check is called {unknown}, and no group: see `conformance list`"
        ));
    }
    let uid = args.run_as;
    let options = match args.options() {
        Ok(options) => options,
        Err(why) => return usage(&why),
    };
    if let Some(uid) = uid {
        return as_user(uid);
    }
    let wanted = |check: &Check| only.is_empty() || only.iter().any(|only| is_wanted(check, only));
    let endpoint = options.endpoint.clone();
    match run(options, wanted, now()).await {
        Ok(lines) if json => {
            println!("{:#}", report::json(&lines));
            verdict(&lines)
        }
        Ok(lines) => {
            print!("{}", report::table(&lines));
            verdict(&lines)
        }
        Err(why) => {
            eprintln!("conformance: {endpoint}: {why}");
            ExitCode::from(2)
        }
    }
}

/// A check by its name, or all of a group.
fn is_wanted(check: &Check, only: &str) -> bool {
    check.id == only || check.id.split('.').next() == Some(only)
}

fn verdict(lines: &[Line]) -> ExitCode {
    let broken = lines
        .iter()
        .any(|line| line.failed() && line.check.level == Level::Must);
    let looked = lines
        .iter()
        .any(|line| !matches!(line.outcome, Err(Finding::Skipped(_))));
    let identity = lines
        .iter()
        .find(|line| line.check.id == "x509.svids")
        .is_none_or(|line| !line.skipped());
    match (broken, looked && identity) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::SUCCESS,
        (false, false) => {
            eprintln!(
                "conformance: this caller has no identity here, so most was skipped: run as one that has (--run-as)"
            );
            ExitCode::from(2)
        }
    }
}

/// This program again, as another user from its first instruction on: servers look at processes.
fn as_user(uid: u32) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let kept = args::without_run_as(arguments);
    let error = std::process::Command::new("/proc/self/exe")
        .args(kept)
        .uid(uid)
        .gid(uid)
        .exec();
    usage(&format!("cannot run as uid {uid}: {error}"))
}

async fn ask_denied(ask: &AskDenied) -> ExitCode {
    let verdicts = Verdicts::ask(&ask.socket, &ask.jwt_audience, Times::default().patience).await;
    match serde_json::to_string(&verdicts) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => usage(&why.to_string()),
    }
}

async fn serve(args: ModelArgs) -> ExitCode {
    let flaw = match &args.broken {
        Some(id) => match checks::all().find(|check| check.id == id) {
            Some(check) => Flaw::of(check.id),
            None => return usage(&format!("no check is called {id}: see `conformance list`")),
        },
        None => Flaw::none(),
    };
    let model = match Model::start(&args.socket, flaw, 2 * Times::default().prompt, now()).await {
        Ok(model) => model,
        Err(why) => return usage(&format!("cannot serve at {}: {why}", args.socket)),
    };
    eprintln!("serving the model at {}", args.socket);
    let every = Duration::from_secs(args.rotate_every.max(1));
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => if args.rotate_every > 0 { model.rotate() },
            _ = tokio::signal::ctrl_c() => return ExitCode::SUCCESS,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the door: from here on the time is an argument"
)]
fn now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
}
