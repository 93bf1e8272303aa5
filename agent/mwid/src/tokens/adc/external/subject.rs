//! The token of the other identity provider. In: where the file says it is. Out: its text, wiped when it is dropped. Never shows what it read.
use super::executable::{self, ExecutableError};
use crate::http::web::{Answer, Call, WebError};
use crate::tokens::adc::file::{External, Format, Subject};
use crate::tokens::endpoint::Reach;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

/// SAML responses are some ten kilobytes.
const LARGEST: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("the subject token's file {} cannot be read; see who writes it, and let mwid's user read it", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the subject token's file {} is larger than {limit} bytes; name the right file", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("what gives the subject token was not reached")]
    Web(#[source] WebError),
    #[error("{url} gave no subject token (status {status}); see its log")]
    Status { url: String, status: u16 },
    #[error("{place} holds no JSON; correct credential_source.format, or who writes it")]
    NotJson { place: String },
    #[error(
        "{place} has no text {field:?}; correct credential_source.format.subject_token_field_name, or who writes it"
    )]
    NoField { place: String, field: String },
    #[error("{place} holds no token: it is empty, or no plain text; see who writes it")]
    Empty { place: String },
    #[error("the program of credential_source.executable gave no subject token")]
    Executable(#[from] ExecutableError),
}

pub(super) async fn read(
    reach: &Reach,
    file: &External,
    email: Option<&str>,
    allow_executables: bool,
) -> Result<Zeroizing<String>, SubjectError> {
    match &file.subject {
        Subject::File { path, format } => {
            let (place, of) = (path.display().to_string(), path.clone());
            let reading = tokio::task::spawn_blocking(move || read_file(&of, LARGEST));
            let bytes = reading
                .await
                .unwrap_or_else(|stopping| Err(io::Error::other(stopping)));
            match bytes {
                Ok(Some(bytes)) => token(&bytes, format, place),
                Ok(None) => Err(SubjectError::TooLarge {
                    path: path.clone(),
                    limit: LARGEST,
                }),
                Err(source) => Err(SubjectError::File {
                    path: path.clone(),
                    source,
                }),
            }
        }
        Subject::Url { url, headers, format } => {
            let mut call = Call::get(url);
            call.headers.clone_from(headers);
            let Answer { status, body, .. } = reach.web.send(call).await.map_err(SubjectError::Web)?;
            if status != hyper::StatusCode::OK {
                return Err(SubjectError::Status {
                    url: url.to_string(),
                    status: status.as_u16(),
                });
            }
            token(&body, format, url.to_string())
        }
        Subject::Executable(program) => {
            let about = executable::About {
                audience: &file.audience,
                subject_token_type: &file.subject_token_type,
                email,
            };
            Ok(executable::run(reach, program, about, allow_executables).await?)
        }
    }
}

/// None: it is larger than that.
pub(super) fn read_file(path: &Path, largest: u64) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let capacity = usize::try_from(largest).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    // A pipe would block the open for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    file.take(largest + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= largest))
}

fn token(bytes: &[u8], format: &Format, place: String) -> Result<Zeroizing<String>, SubjectError> {
    let text = match format {
        Format::Text => std::str::from_utf8(bytes)
            .ok()
            .map(|text| Zeroizing::new(text.to_owned())),
        Format::Json { field } => match serde_json::from_slice(bytes) {
            Err(_) => return Err(SubjectError::NotJson { place }),
            Ok(mut document) => {
                let found = member(&mut document, field);
                wipe(&mut document);
                match found {
                    None => {
                        return Err(SubjectError::NoField {
                            place,
                            field: field.clone(),
                        });
                    }
                    found => found,
                }
            }
        },
    };
    // An editor or `echo` leaves a newline, which no token has.
    let text = text.map(|text| Zeroizing::new(text.trim().to_owned()));
    text.filter(|text| !text.is_empty())
        .ok_or(SubjectError::Empty { place })
}

fn member(document: &mut Value, field: &str) -> Option<Zeroizing<String>> {
    match document.get_mut(field)? {
        Value::String(text) => Some(Zeroizing::new(std::mem::take(text))),
        _ => None,
    }
}

/// The texts at the top, which is where tokens are.
fn wipe(document: &mut Value) {
    for value in document
        .as_object_mut()
        .into_iter()
        .flat_map(|members| members.values_mut())
    {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
}
