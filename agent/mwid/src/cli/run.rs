//! `mwid run`: the daemon. In: where the settings come from. Out: it ends when it is told to. Never starts with settings that do not settle.
use super::{Exit, Failure, args};
use crate::caller::Attestor;
use crate::config::{self, ConfigError, Settings};
use crate::{app, dev};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) fn run(args: args::RunArgs) -> Result<(), Failure> {
    app::close_process().map_err(|e| Failure::new(Exit::System, "the daemon does not start").because(e))?;
    refuse_nobody(&Attestor::new())?;
    let origin = origin(args, std::env::var_os("MWID_RUNTIME_DIR"))?;
    let settings = origin
        .load()
        .map_err(|e| Failure::new(Exit::Config, "the daemon does not start").because(e))?;
    app::run(app::Plan::new(settings, move || origin.load())).map_err(failure)
}

/// As the overflow user (`nobody`) the daemon could not tell its own user from strangers, and would have to deny both.
fn refuse_nobody(attestor: &Attestor) -> Result<(), Failure> {
    if attestor.denies_its_own_user() {
        return Err(Failure::new(
            Exit::Permission,
            "the daemon does not start as this user (nobody, the kernel's overflow uid): the kernel shows users of other user \
             namespaces by the same number, so nobody could be let in; run it as a user of its own, such as mwid",
        ));
    }
    Ok(())
}

/// An end that nobody asked for, with the exit code that fits it.
pub(super) fn failure(error: app::AppError) -> Failure {
    let exit = match error.kind() {
        app::ErrorKind::Busy => Exit::Unavailable,
        app::ErrorKind::Settings => Exit::Config,
        app::ErrorKind::System => Exit::System,
    };
    Failure::new(exit, "the daemon ends").because(error)
}

/// Where the settings come from, at the start and at each reload.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// A file that was named.
    File(PathBuf),
    /// The system's file; if it is missing, all defaults.
    System,
    /// The embedded platform in this runtime directory; keys of the file win.
    Dev {
        runtime_dir: PathBuf,
        file: Option<PathBuf>,
    },
}

impl Origin {
    fn load(&self) -> Result<Settings, ConfigError> {
        match self {
            Self::File(path) => config::load(path),
            Self::System if Path::new(config::SYSTEM_FILE).exists() => {
                config::load(Path::new(config::SYSTEM_FILE))
            }
            Self::System => Ok(Settings::default()),
            Self::Dev {
                runtime_dir,
                file: Some(file),
            } => config::load_dev(file, runtime_dir),
            Self::Dev {
                runtime_dir,
                file: None,
            } => Ok(Settings::dev(runtime_dir)),
        }
    }
}

fn origin(args: args::RunArgs, runtime_dir: Option<OsString>) -> Result<Origin, Failure> {
    if !args.dev {
        return Ok(args.config.map_or(Origin::System, Origin::File));
    }
    let runtime_dir = match runtime_dir.filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => {
            let xdg = std::env::var_os("XDG_RUNTIME_DIR")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from);
            dev::place::of_this_user(xdg.as_deref(), &std::env::temp_dir()).map_err(|e| {
                Failure::new(Exit::System, "there is no place for the embedded platform").because(e)
            })?
        }
    };
    Ok(Origin::Dev {
        runtime_dir,
        file: args.config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_who_stands_for_strangers_does_not_run_the_daemon() {
        let own = nix::unistd::geteuid().as_raw();
        let failure = refuse_nobody(&Attestor::with_overflow_uid(own)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Permission);
        assert!(failure.to_string().contains("user of its own"), "{failure}");
        assert!(refuse_nobody(&Attestor::with_overflow_uid(own + 1)).is_ok());
    }

    #[test]
    fn the_embedded_platform_never_reads_the_systems_file() {
        let args = |dev, config: Option<&str>| args::RunArgs {
            dev,
            config: config.map(PathBuf::from),
        };
        let there = || Some(OsString::from("/tmp/there"));
        assert_eq!(origin(args(false, None), there()).unwrap(), Origin::System);
        assert_eq!(
            origin(args(false, Some("/a")), there()).unwrap(),
            Origin::File("/a".into())
        );
        assert_eq!(
            origin(args(true, None), there()).unwrap(),
            Origin::Dev {
                runtime_dir: "/tmp/there".into(),
                file: None
            }
        );
        assert_eq!(
            origin(args(true, Some("/a")), there()).unwrap(),
            Origin::Dev {
                runtime_dir: "/tmp/there".into(),
                file: Some("/a".into())
            }
        );
    }
}
