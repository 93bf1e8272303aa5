//! `external_account`: a token of another identity provider, to be exchanged (AIP-4117). In: the fields. Out: what the exchange needs.
//! Whether an executable may run is not decided here.
use super::fields::{FieldError, Fields, Found};
use super::{ImpersonationUrl, impersonation_url, url, url_in};
use crate::http::web::url::{Plain, Url};
use hyper::header::{HeaderName, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

pub(crate) struct External {
    pub(crate) audience: String,
    pub(crate) subject_token_type: String,
    pub(crate) token_url: Url,
    /// `client_id` and `client_secret`.
    pub(crate) client: Option<(String, Zeroizing<String>)>,
    /// `workforce_pool_user_project`.
    pub(crate) user_project: Option<String>,
    pub(crate) subject: Subject,
    pub(crate) target: Option<ImpersonationUrl>,
    pub(crate) target_lifetime: Option<Duration>,
}

/// Where the other provider's token is.
pub(crate) enum Subject {
    File {
        path: PathBuf,
        format: Format,
    },
    Url {
        url: Url,
        headers: Vec<(HeaderName, HeaderValue)>,
        format: Format,
    },
    Executable(Executable),
}

/// How a token lies in a file or an answer.
pub(crate) enum Format {
    Text,
    Json { field: String },
}

/// A program that prints the token.
pub(crate) struct Executable {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    pub(crate) within: Duration,
    /// Where it leaves its last answer.
    pub(crate) output_file: Option<PathBuf>,
}

pub(super) fn external(fields: &Fields<'_>) -> Result<External, FieldError> {
    let audience = fields.text("audience")?.to_owned();
    let lifetime = match fields.optional_object("service_account_impersonation")? {
        Some(options) => lifetime(&options)?,
        None => None,
    };
    Ok(External {
        subject_token_type: fields.text("subject_token_type")?.to_owned(),
        token_url: url_in(fields, "token_url", "https://sts.googleapis.com/v1/token")?,
        client: client(fields)?,
        user_project: user_project(fields, &audience)?,
        subject: subject(&fields.object("credential_source")?)?,
        target: impersonation_url(fields)?,
        target_lifetime: lifetime,
        audience,
    })
}

fn lifetime(options: &Fields<'_>) -> Result<Option<Duration>, FieldError> {
    const FIELD: &str = "token_lifetime_seconds";
    match options.optional_number(FIELD)? {
        None => Ok(None),
        Some(seconds @ 600..=43_200) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(options.wrong(FIELD, Found::Number, "from 600 to 43200")),
    }
}

fn client(fields: &Fields<'_>) -> Result<Option<(String, Zeroizing<String>)>, FieldError> {
    let Some(id) = fields.optional_text("client_id")? else {
        return Ok(None);
    };
    let secret = fields.optional_text("client_secret")?.unwrap_or_default();
    Ok(Some((id.to_owned(), Zeroizing::new(secret.to_owned()))))
}

/// Only a pool of people has one: it says whose quota is used.
fn user_project(fields: &Fields<'_>, audience: &str) -> Result<Option<String>, FieldError> {
    const FIELD: &str = "workforce_pool_user_project";
    let project = fields.optional_text(FIELD)?.map(str::to_owned);
    let workforce = audience
        .strip_prefix("//iam.")
        .and_then(|rest| rest.split_once("/locations/"))
        .is_some_and(|(domain, rest)| {
            let mut parts = rest.split('/');
            !domain.contains('/') && parts.next().is_some() && parts.next() == Some("workforcePools")
        });
    if project.is_some() && !workforce {
        return Err(fields.wrong(
            FIELD,
            Found::Text,
            "nothing, unless the audience is a workforce pool's",
        ));
    }
    Ok(project)
}

fn subject(source: &Fields<'_>) -> Result<Subject, FieldError> {
    const ONE: &str = "one of file, url and executable, and only one";
    const NOT_SERVED: &str = "file, url or executable (this one is not served)";
    for other in ["certificate", "environment_id", "regional_cred_verification_url"] {
        if source.has(other) {
            return Err(source.wrong(other, Found::There, NOT_SERVED));
        }
    }
    let there: Vec<_> = ["file", "url", "executable"]
        .into_iter()
        .filter(|kind| source.has(kind))
        .collect();
    match there[..] {
        ["file"] => Ok(Subject::File {
            path: source.text("file")?.into(),
            format: format(source)?,
        }),
        ["url"] => Ok(Subject::Url {
            url: url(source, "url", source.text("url")?, Plain::LinkLocal)?,
            headers: headers(source)?,
            format: format(source)?,
        }),
        ["executable"] => executable(&source.object("executable")?).map(Subject::Executable),
        [_, second, ..] => Err(source.wrong(second, Found::ThereToo, ONE)),
        _ => Err(source.wrong("file", Found::Nothing, ONE)),
    }
}

fn format(source: &Fields<'_>) -> Result<Format, FieldError> {
    let Some(format) = source.optional_object("format")? else {
        return Ok(Format::Text);
    };
    match format.optional_text("type")? {
        None | Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json {
            field: format.text("subject_token_field_name")?.to_owned(),
        }),
        Some(other) => Err(format.wrong("type", Found::word(other), "text or json")),
    }
}

fn headers(source: &Fields<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, FieldError> {
    source
        .text_pairs("headers")?
        .into_iter()
        .map(|(name, value)| {
            let wrong = || source.wrong("headers", Found::Object, "names and values of HTTP headers");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((name, value))
        })
        .collect()
}

fn executable(fields: &Fields<'_>) -> Result<Executable, FieldError> {
    const WITHIN: &str = "timeout_millis";
    let millis = match fields.optional_number(WITHIN)? {
        None => 30_000,
        Some(millis @ 5_000..=120_000) => millis,
        Some(_) => return Err(fields.wrong(WITHIN, Found::Number, "from 5000 to 120000")),
    };
    let command = words(fields.text("command")?);
    if command.first().is_none_or(|program| !program.starts_with('/')) {
        return Err(fields.wrong(
            "command",
            Found::Text,
            "the absolute path of a program, and its arguments",
        ));
    }
    Ok(Executable {
        command,
        within: Duration::from_millis(millis),
        output_file: fields.optional_text("output_file")?.map(PathBuf::from),
    })
}

/// Words apart by white space; double quotes hold one together. No shell: nothing else means anything.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (vec![], None::<String>, false);
    for c in command.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod unit {
    use super::words;

    #[test]
    fn a_command_is_words_and_quotes_and_nothing_more() {
        assert_eq!(words(" /bin/a  --b=c\td "), ["/bin/a", "--b=c", "d"]);
        assert_eq!(
            words(r#"/bin/a "b c" d"e f"g """#),
            ["/bin/a", "b c", "de fg", ""]
        );
        assert_eq!(
            words("/bin/a $(b) ; c | d > e"),
            ["/bin/a", "$(b)", ";", "c", "|", "d", ">", "e"]
        );
    }
}
