//! The words of the command line. In: argv. Out: plain values. Never acts on them.
use clap::builder::NonEmptyStringValueParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The managed workload identity daemon.
///
/// Takes the X.509 identity that the platform gives this VM, proves it, keeps it fresh, and hands it on.
#[derive(Debug, Parser)]
#[command(name = "mwid", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 check found errors, 64 wrong usage, 69 no daemon or not able, \
70 internal, 71 system, 74 input/output, 75 not ready in time, 77 not permitted, 78 wrong configuration.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Run(RunArgs),
    /// Show two workloads talking mTLS while their certificates rotate, on an embedded platform
    Demo(DemoArgs),
    /// Look for mistakes in the configuration and in everything that it names
    Check(CheckArgs),
    /// What the running daemon does: identity, source, publishing, tokens, callers, last errors
    Status(StatusArgs),
    /// The identity in force: leaf, chain and trust bundles in words
    Identity(IdentityArgs),
    /// Print one token for Google APIs, and nothing else
    Token(TokenArgs),
    /// Ask any agent's SPIFFE Workload API, prove what it answers, and show or write it
    ///
    /// Which agent: --socket, then the daemon of --config, then SPIFFE_ENDPOINT_SOCKET, then the daemon that other commands ask. What does
    /// not hold (a key that does not match, a chain that reaches no root of its own trust domain) is neither shown nor written.
    Fetch(FetchArgs),
    /// Ask any agent's SPIFFE Workload API whether something holds
    Validate(ValidateArgs),
    /// Wait until the daemon is ready
    Wait(WaitArgs),
    /// Make the daemon read its configuration again
    Reload(ReloadArgs),
    /// Print the environment that points programs to what this daemon serves
    ///
    /// SPIFFE_CREDENTIAL_FOLDER is the published directory. GCE_METADATA_HOST and GCE_METADATA_IP make Google's client libraries
    /// ask this daemon for tokens and instance data (some look at the one, some at the other), and GCE_METADATA_MTLS_MODE=none keeps
    /// them from asking it over HTTPS; they are left out when the configuration says `api.metadata.listen: off`. Where
    /// GOOGLE_APPLICATION_CREDENTIALS is set, or gcloud has left its credentials, those libraries read that file and ask nobody: it is left as it
    /// is, and said.
    Env(EnvArgs),
    /// Run a command in the environment that `mwid env` prints
    Exec(ExecArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page (roff)
    Man,
}

/// Which daemon a client command means.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(super) struct At {
    /// The daemon's configuration file [default: the daemon in $MWID_RUNTIME_DIR, else the system's]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// Configuration file [default: /etc/mwid/mwid.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// For development: an embedded CA instead of the platform, in a runtime directory of your own; the system's
    /// configuration is not read, keys of --config win
    #[arg(long)]
    pub(super) dev: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DemoArgs {
    /// How long
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) time: Duration,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    /// Configuration file [default: of the daemon in $MWID_RUNTIME_DIR, else /etc/mwid/mwid.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The findings as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// Show it again on each change, until interrupted
    #[arg(long)]
    pub(super) watch: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct IdentityArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    pub(super) kind: TokenKind,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenKind {
    /// An access token
    Access(AccessArgs),
    /// An ID token (a JWT) for one audience
    Id(IdArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct AccessArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// Exactly these scopes, separated by commas [default: all that the caller may have]
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct IdArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// Who will verify the token, usually the URL of a service
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub(super) audience: String,
    /// Which claims: full adds those of the VM
    #[arg(long, value_enum, default_value_t = TokenFormat::Standard)]
    pub(super) format: TokenFormat,
    /// With the licenses of the VM's images (--format full)
    #[arg(long)]
    pub(super) licenses: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TokenFormat {
    Standard,
    Full,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FetchArgs {
    #[command(subcommand)]
    pub(super) what: FetchKind,
}

#[derive(Debug, Subcommand)]
pub(super) enum FetchKind {
    /// The X.509-SVIDs that this user may have
    X509(FetchX509Args),
    /// A JWT-SVID for an audience; prints the token and nothing else
    Jwt(FetchJwtArgs),
    /// The trust bundles of all trust domains
    Bundles(FetchBundlesArgs),
}

/// Which agent's Workload API a command means.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct WorkloadAt {
    #[command(flatten)]
    pub(super) at: At,
    /// Where the Workload API is: unix:///PATH or tcp://IP:PORT
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new())]
    pub(super) socket: Option<String>,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) timeout: Duration,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FetchX509Args {
    #[command(flatten)]
    pub(super) workload: WorkloadAt,
    /// Also write svid.N.pem, svid.N.key (mode 0600), bundle.N.pem and federated_bundle.N.M.pem there
    ///
    /// Each file takes the place of the one before in one step, and files of such names that the answer has no more are removed. Key and chain are two
    /// steps: a reader that must never see a key of one generation and a certificate of another is better served by a directory that the daemon
    /// publishes.
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,
    /// As JSON, without keys
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FetchJwtArgs {
    #[command(flatten)]
    pub(super) workload: WorkloadAt,
    /// Whom the token is for, once for each; one is best
    #[arg(long, required = true, value_name = "AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) audience: Vec<String>,
    /// Of which SPIFFE ID [default: the first that the agent gives]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) spiffe_id: Option<String>,
    /// Write the token there (mode 0600) in one step instead, and print whose it is
    #[arg(long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct FetchBundlesArgs {
    #[command(flatten)]
    pub(super) workload: WorkloadAt,
    /// Also write trust_bundles.json and, for each trust domain, TRUST_DOMAIN.spiffe-trust-bundle.x509.pem there
    ///
    /// Files of trust domains that the answer has no more are removed.
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,
    /// As a SPIFFE bundle map
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ValidateArgs {
    #[command(subcommand)]
    pub(super) what: ValidateKind,
}

#[derive(Debug, Subcommand)]
pub(super) enum ValidateKind {
    /// A JWT-SVID: whose it is, and what it says
    Jwt(ValidateJwtArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct ValidateJwtArgs {
    #[command(flatten)]
    pub(super) workload: WorkloadAt,
    /// Whom the token must be for
    #[arg(long, value_name = "AUDIENCE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) audience: String,
    /// The file with the token; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(super) svid: PathBuf,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct WaitArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(super) timeout: Duration,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    pub(super) at: At,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EnvArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// As a JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    pub(super) at: At,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

/// A span of time that is not zero and not longer than a day.
fn duration(text: &str) -> Result<Duration, DurationError> {
    let span = humantime::parse_duration(text)?;
    if span.is_zero() || span > Duration::from_secs(86_400) {
        return Err(DurationError::OutOfBounds);
    }
    Ok(span)
}

#[derive(Debug, thiserror::Error)]
enum DurationError {
    #[error("write a number with its unit, such as 30s or 2m")]
    Form(#[from] humantime::DurationError),
    #[error("it must be more than nothing and at most one day")]
    OutOfBounds,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn exec_takes_everything_after_two_dashes() {
        let args = Args::try_parse_from(["mwid", "exec", "--", "curl", "--config", "x"]).unwrap();
        let Command::Exec(exec) = args.command else {
            panic!("not exec: {args:?}")
        };
        assert_eq!(exec.command, ["curl", "--config", "x"]);
        assert!(exec.at.config.is_none());
    }

    #[test]
    fn tokens_are_asked_for_in_plain_words() {
        let parse = |words: &str| Args::try_parse_from(words.split(' ')).map(|args| args.command);
        let Command::Token(TokenArgs {
            kind: TokenKind::Access(access),
        }) = parse("mwid token access --scopes a,b --scopes c").unwrap()
        else {
            panic!("no access token")
        };
        assert_eq!(access.scopes, ["a", "b", "c"]);
        let Command::Token(TokenArgs {
            kind: TokenKind::Id(id),
        }) = parse("mwid token id --audience https://a --format full --licenses").unwrap()
        else {
            panic!("no ID token")
        };
        assert_eq!(
            (id.audience.as_str(), id.format, id.licenses),
            ("https://a", TokenFormat::Full, true)
        );
        for wrong in [
            "mwid token",
            "mwid token id",
            "mwid token id --audience=",
            "mwid token access --scopes a,,b",
            "mwid token access --audience x",
            "mwid token id --audience x --format all",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_jwt_svid_is_asked_for_by_its_audiences() {
        let parse = |words: &str| Args::try_parse_from(words.split(' ')).map(|args| args.command);
        let words = "mwid fetch jwt --audience a --audience b --spiffe-id spiffe://x/y --write t";
        let Command::Fetch(FetchArgs {
            what: FetchKind::Jwt(jwt),
        }) = parse(words).unwrap()
        else {
            panic!("no JWT-SVID")
        };
        assert_eq!(jwt.audience, ["a", "b"]);
        assert_eq!(jwt.spiffe_id.as_deref(), Some("spiffe://x/y"));
        for wrong in ["mwid fetch jwt", "mwid fetch jwt --audience="] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_of_time_are_bounded() {
        assert_eq!(duration("30s").unwrap(), Duration::from_secs(30));
        for wrong in ["0s", "25h", "30", "", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
