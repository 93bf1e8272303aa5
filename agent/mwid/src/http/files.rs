//! How many files this process may have open: each connection takes one. In: nothing. Out: the number. Never lowers it.
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More is not needed, and programs that we start get it too: some look at every number below it.
const MOST: u64 = 65_536;

/// What systemd and most shells give.
const USUAL: usize = 1024;

/// Raises the soft limit as far as the hard one allows. Where that fails it stays, and is told.
pub(crate) fn raise() {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard.min(MOST) => {
            if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard.min(MOST), hard) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    soft,
                    hard,
                    "cannot raise the number of open files; fewer connections are served"
                );
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read the number of open files"
            );
        }
    }
}

/// How many may be open now.
pub(crate) fn allowed() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft >= hard.min(MOST), "{soft} of {hard}");
        assert_eq!(allowed() as u64, soft);
    }
}
