//! A program that prints the token of another identity provider (AIP-4117, executable-sourced credentials).
//!
//! In: the program, its arguments and what it is told of the exchange. Out: the token of its answer, or of the answer that it left in its
//! output file and that still holds. Only where the environment allows it. Never uses a shell, never waits longer or reads more than
//! allowed, never leaves the program running when it is late, never shows what it printed but its own words about a failure.
use super::subject::read_file;
use crate::tokens::adc::file::Executable;
use crate::tokens::endpoint::Reach;
use crate::tokens::endpoint::answer::shown;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Deserializer};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

const LARGEST: u64 = 64 * 1024;
const VERSION: u64 = 1;

/// What systemd told mwid is for mwid alone.
const OURS: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecutableError {
    #[error(
        "programs are not allowed to run for credentials; if {program} is to be trusted, set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 for mwid"
    )]
    NotAllowed { program: String },
    #[error("{program} cannot be started; see whether it is there and executable")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} cannot be waited for")]
    Wait {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{program} gave no answer within {} and was ended; correct it, or credential_source.executable.timeout_millis",
        humantime::format_duration(*after)
    )]
    TimedOut { program: String, after: Duration },
    #[error("{program} failed ({status}); run it by hand to see why")]
    Failed { program: String, status: ExitStatus },
    #[error("{program} printed more than {limit} bytes; correct it")]
    TooLarge { program: String, limit: u64 },
    #[error("{program} printed no JSON answer (line {line}, column {column}); correct it")]
    NotJson {
        program: String,
        line: usize,
        column: usize,
    },
    #[error("the answer of {program} has no usable {field}; correct it")]
    Field { program: String, field: &'static str },
    #[error("the answer of {program} has version {found}, served is {VERSION}; use another version of it")]
    Version { program: String, found: u64 },
    #[error("{program} says that it has no token ({code}: {message}); see its documentation")]
    Unsuccessful {
        program: String,
        code: String,
        message: String,
    },
    #[error(
        "the token of {program} has expired already; correct it, or compare this machine's clock (timedatectl)"
    )]
    Expired { program: String },
}

/// What the program is told, in its environment.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) audience: &'a str,
    pub(super) subject_token_type: &'a str,
    /// Whom the token is to act as.
    pub(super) email: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    version: Option<u64>,
    success: Option<bool>,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "wiped")]
    id_token: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "wiped")]
    saml_response: Option<Zeroizing<String>>,
    expiration_time: Option<u64>,
    code: Option<String>,
    message: Option<String>,
}

fn wiped<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Zeroizing::new))
}

pub(super) async fn run(
    reach: &Reach,
    executable: &Executable,
    about: About<'_>,
    allowed: bool,
) -> Result<Zeroizing<String>, ExecutableError> {
    let program = executable.command.first().cloned().unwrap_or_default();
    if !allowed {
        return Err(ExecutableError::NotAllowed { program });
    }
    if let Some(path) = &executable.output_file
        && let Some(token) = left_behind(reach, path.clone(), &program).await
    {
        return Ok(token);
    }
    let printed = output(executable, about, &program).await?;
    let answer = read(&printed, &program)?;
    let expires = executable.output_file.is_some();
    token(answer, reach.now().as_secs(), expires, &program)
}

/// What an earlier run left, if it still holds. In any other case the program is run: it writes the file anew.
async fn left_behind(reach: &Reach, path: PathBuf, program: &str) -> Option<Zeroizing<String>> {
    let reading = tokio::task::spawn_blocking(move || read_file(&path, LARGEST));
    let bytes = reading.await.ok()?.ok()??;
    let answer = read(&bytes, program).ok()?;
    token(answer, reach.now().as_secs(), true, program).ok()
}

fn read(printed: &[u8], program: &str) -> Result<Answer, ExecutableError> {
    serde_json::from_slice(printed).map_err(|error| ExecutableError::NotJson {
        program: program.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

/// `expires`: an answer without an expiry is none, because it may be read again later.
fn token(
    answer: Answer,
    now: u64,
    expires: bool,
    program: &str,
) -> Result<Zeroizing<String>, ExecutableError> {
    let program = || program.to_owned();
    let missing = |field| ExecutableError::Field {
        program: program(),
        field,
    };
    match answer.version {
        Some(VERSION) => {}
        Some(found) => {
            return Err(ExecutableError::Version {
                program: program(),
                found,
            });
        }
        None => return Err(missing("version")),
    }
    if !answer.success.ok_or_else(|| missing("success"))? {
        return Err(ExecutableError::Unsuccessful {
            program: program(),
            code: shown(answer.code.as_deref().unwrap_or("no code")),
            message: shown(answer.message.as_deref().unwrap_or("no message")),
        });
    }
    match answer.expiration_time {
        Some(until) if until <= now => return Err(ExecutableError::Expired { program: program() }),
        None if expires => return Err(missing("expiration_time")),
        _ => {}
    }
    let token = match answer.token_type.as_deref() {
        Some("urn:ietf:params:oauth:token-type:id_token" | "urn:ietf:params:oauth:token-type:jwt") => {
            answer.id_token.ok_or_else(|| missing("id_token"))?
        }
        Some("urn:ietf:params:oauth:token-type:saml2") => {
            answer.saml_response.ok_or_else(|| missing("saml_response"))?
        }
        _ => return Err(missing("token_type (id_token, jwt or saml2)")),
    };
    if token.is_empty() {
        return Err(missing("token"));
    }
    Ok(token)
}

async fn output(
    executable: &Executable,
    about: About<'_>,
    program: &str,
) -> Result<Zeroizing<Vec<u8>>, ExecutableError> {
    let mut child = command(executable, about)
        .spawn()
        .map_err(|source| ExecutableError::Start {
            program: program.to_owned(),
            source,
        })?;
    // Declared after the child, so dropped before it: also when this future is dropped half-way.
    let mut group = Group::of(&child);
    let talked = tokio::time::timeout(executable.within, talk(&mut child)).await;
    let told = |source| ExecutableError::Wait {
        program: program.to_owned(),
        source,
    };
    let Ok(talked) = talked else {
        drop(group);
        child.wait().await.map_err(told)?;
        return Err(ExecutableError::TimedOut {
            program: program.to_owned(),
            after: executable.within,
        });
    };
    let (printed, status) = match talked.map_err(told)? {
        Some(done) => done,
        None => {
            drop(group);
            child.wait().await.map_err(told)?;
            return Err(ExecutableError::TooLarge {
                program: program.to_owned(),
                limit: LARGEST,
            });
        }
    };
    // It is reaped: its number may be another's from now on.
    group.forget();
    if !status.success() {
        return Err(ExecutableError::Failed {
            program: program.to_owned(),
            status,
        });
    }
    Ok(printed)
}

fn command(executable: &Executable, about: About<'_>) -> Command {
    let mut words = executable.command.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command
        .args(words)
        .env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", about.audience)
        .env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", about.subject_token_type)
        .env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
        .env("GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "0")
        .env_remove("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL")
        .env_remove("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some(email) = about.email {
        command.env("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email);
    }
    if let Some(path) = &executable.output_file {
        command.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", Path::new(path));
    }
    for name in OURS {
        command.env_remove(name);
    }
    command
}

/// None: it printed too much.
async fn talk(child: &mut Child) -> io::Result<Option<(Zeroizing<Vec<u8>>, ExitStatus)>> {
    let capacity = usize::try_from(LARGEST).unwrap_or_default() + 1;
    let mut printed = Zeroizing::new(Vec::with_capacity(capacity));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST + 1).read_to_end(&mut printed).await?;
    }
    if printed.len() as u64 > LARGEST {
        return Ok(None);
    }
    let status = child.wait().await?;
    Ok(Some((printed, status)))
}

/// The program's process group; killed as a whole when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        Self(number.and_then(Pid::from_raw))
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Gone already is no trouble.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
