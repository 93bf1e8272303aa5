//! Is the clock right? Certificates are judged by it.
use super::{Finding, Scene, source};
use std::time::{Duration, SystemTime};

/// 2026-11-01, in seconds of Unix time. This version was written after it, so no clock is right that is before it.
const EARLIEST: Duration = Duration::from_secs(1_793_491_200);
/// More than clocks of one machine differ.
const LEEWAY: Duration = Duration::from_secs(60);

const FIX: &str = "set the clock, and let it be kept right: timedatectl set-ntp true";

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let now = scene.now;
    if now < SystemTime::UNIX_EPOCH + EARLIEST {
        return vec![
            Finding::error(
                "clock_wrong",
                format!(
                    "the clock is wrong: it says {}, before this version was made",
                    humantime::format_rfc3339_seconds(now)
                ),
            )
            .why("certificates are judged by the clock: good ones are refused, expired ones could be taken")
            .fix(FIX),
        ];
    }
    written_in_the_future(scene).into_iter().collect()
}

/// The platform's files cannot have been written later than now.
fn written_in_the_future(scene: &Scene<'_>) -> Option<Finding> {
    let (file, written) = source::directory(scene.settings)?
        .read_dir()
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let written = path.metadata().ok()?.modified().ok()?;
            Some((path, written))
        })
        .max_by_key(|(_, written)| *written)?;
    let ahead = written
        .duration_since(scene.now)
        .ok()
        .filter(|ahead| *ahead > LEEWAY)?;
    Some(
        Finding::error(
            "clock_wrong",
            format!(
                "the clock is behind by {} or more: {} was written at {}",
                humantime::format_duration(Duration::from_secs(ahead.as_secs())),
                file.display(),
                humantime::format_rfc3339_seconds(written)
            ),
        )
        .why("certificates are judged by the clock")
        .fix(FIX),
    )
}
