//! `mwid demo`: the daemon on its embedded platform, and two workloads that talk mTLS while certificates rotate every few seconds.
//!
//! In: how long. Out: on standard error what happens, on standard output what was proven; a failure if anything failed. Never needs root, a
//! network or a config file.
use super::{Exit, Failure, args, output};
use crate::app;
use crate::config::{Settings, SourceSettings};
use crate::dev::place::Temporary;
use crate::dev::workloads::{Seen, Tally};
use std::time::Duration;

/// Each certificate lives this long; it is replaced at half its life.
const LIFETIME: Duration = Duration::from_secs(6);

pub(super) fn run(args: &args::DemoArgs) -> Result<(), Failure> {
    app::close_process().map_err(|e| Failure::new(Exit::System, "the demo does not start").because(e))?;
    let place = Temporary::new(&std::env::temp_dir())
        .map_err(|e| Failure::new(Exit::System, "there is no place for the embedded platform").because(e))?;
    let mut settings = Settings::dev(place.path());
    // The workloads want no tokens, and the usual port may be a real daemon's.
    settings.metadata.listen = Vec::new();
    if let SourceSettings::DevCa { lifetime, .. } = &mut settings.identity.source {
        *lifetime = LIFETIME;
    }
    // Two demos, or one beside a daemon, do not ask for the same port.
    settings.metadata.listen.clear();
    output::talk(&format!(
        "mwid demo: a daemon with a development CA in {}; certificates live {} s and are replaced at half their life",
        place.path().display(),
        LIFETIME.as_secs()
    ));
    let tally = app::demo(app::Plan::fixed(settings), args.time, |seen| {
        output::talk(&line(&seen));
    })
    .map_err(super::run::failure)?;
    output::data(&summary(&tally))?;
    judge(&tally)
}

fn line(seen: &Seen) -> String {
    let news = if seen.count == 1 {
        "first certificate"
    } else {
        "new certificate  "
    };
    format!(
        "{:6.1} s  {news} {}  {} requests, {} failed; the held connection: {} exchanges",
        seen.after.as_secs_f64(),
        seen.serial,
        seen.requests,
        seen.failed,
        seen.exchanges
    )
}

fn summary(tally: &Tally) -> String {
    let peer = tally.peer.as_deref().unwrap_or("nobody");
    let protocols: Vec<&str> = tally.protocols.iter().map(String::as_str).collect();
    let mut text = format!(
        "In {} s two workloads talked mTLS as {peer}:\n\
         \x20 rotations            {}\n\
         \x20 requests             {} over a new connection each, {} failed\n\
         \x20 one held connection  {} exchanges across all rotations, {} failed\n\
         \x20 negotiated           {}\n\
         \x20 resumed handshakes   {}\n",
        tally.ran.as_secs(),
        tally.rotations(),
        tally.requests,
        tally.failed,
        tally.exchanges,
        tally.held_failed,
        protocols.join("; "),
        tally.resumed
    );
    for failure in &tally.failures {
        text.push_str(&format!("  failed: {failure}\n"));
    }
    text
}

/// What the demo promises: no failure, no resumption, and the rotations that the time which it ran has room for (one every half life, less the first
/// half life and one to spare for a slow machine).
fn judge(tally: &Tally) -> Result<(), Failure> {
    let expected = (tally.ran.as_secs() / (LIFETIME.as_secs() / 2)).saturating_sub(2);
    let failed = tally.failed + tally.held_failed + tally.resumed;
    if failed > 0 || tally.requests == 0 {
        return Err(Failure::new(
            Exit::Software,
            "the demo did not hold what mwid promises: see the failures above",
        ));
    }
    if (tally.rotations() as u64) < expected {
        let text = format!(
            "the demo saw {} rotations where {expected} were due",
            tally.rotations()
        );
        return Err(Failure::new(Exit::Software, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(rotations: usize) -> Tally {
        Tally {
            ran: Duration::from_secs(20),
            requests: 100,
            exchanges: 40,
            serials: (0..=rotations).map(|n| n.to_string()).collect(),
            ..Tally::default()
        }
    }

    #[test]
    fn the_demo_fails_when_anything_failed() {
        assert!(judge(&good(6)).is_ok());
        assert!(judge(&good(3)).is_err(), "three rotations in 20 s are too few");
        for broken in [
            Tally { failed: 1, ..good(6) },
            Tally {
                held_failed: 1,
                ..good(6)
            },
            Tally {
                resumed: 1,
                ..good(6)
            },
            Tally {
                requests: 0,
                ..good(6)
            },
        ] {
            assert!(judge(&broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_demo_that_was_ended_early_is_judged_by_the_time_that_it_ran() {
        let ended = Tally {
            ran: Duration::from_secs(4),
            ..good(1)
        };
        assert!(judge(&ended).is_ok());
        assert!(summary(&ended).starts_with("In 4 s"));
    }

    #[test]
    fn the_summary_tells_failures() {
        let tally = Tally {
            failed: 1,
            failures: vec!["request 7: cannot connect".to_owned()],
            ..good(3)
        };
        let text = summary(&tally);
        assert!(
            text.contains("rotations            3") && text.contains("request 7"),
            "{text}"
        );
    }
}
