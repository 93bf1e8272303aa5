//! One question to the metadata server, asked again while the server is busy. In: a path. Out: the body of a 200 with the moment before it was
//! asked for, or why there is none. Never waits longer than its patience.
use super::answer;
use super::error::ServerError;
use crate::backoff::Backoff;
use crate::metadata::{Answer, Client, MetadataError, Question};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use mtls_identity::{Clock, UnixTime};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

/// For all tries together. A platform under load may take half a minute, and who has a token does not wait for this. The cache is a little more
/// patient, so that what is told is what went wrong here.
const PATIENCE: Duration = Duration::from_secs(33);
/// Live migration takes the server away for less than a second.
const TRIES: u32 = 4;
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A longer `Retry-After` is not waited for within one question: it is told to who asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A `Retry-After` is believed up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Servers read a head of 8 KiB at least. What is longer than that only by what a caller wrote is no fault of the server.
const LONGEST_QUESTION: usize = 7 * 1024;

/// What to ask.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// In words: `access token`.
    pub(super) what: &'static str,
    /// Whose, as it is in the path.
    pub(super) account: &'a str,
    /// Below `computeMetadata/v1/`, with the query.
    pub(super) path: &'a str,
    pub(super) json: Option<&'a [u8]>,
}

/// What was answered with status 200.
pub(super) struct Got {
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Before this answer was asked for.
    pub(super) asked_at: UnixTime,
}

/// Asks, again if need be.
pub(super) async fn ask(client: &Client, clock: &Clock, wanted: Wanted<'_>) -> Result<Got, ServerError> {
    if wanted.path.len() > LONGEST_QUESTION {
        return Err(ServerError::TooLong {
            what: wanted.what,
            length: wanted.path.len(),
        });
    }
    let until = Instant::now() + PATIENCE;
    let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
    let mut tries = 0;
    loop {
        tries += 1;
        let asked_at = clock.current_time().ok_or(ServerError::NoClock)?;
        let question = Question {
            path: wanted.path,
            json: wanted.json,
            within: until.duration_since(Instant::now()),
        };
        let answered = client.ask(question).await;
        let (error, retry_after) = match answered {
            Ok(answer) if answer.status == StatusCode::OK => {
                return Ok(Got {
                    body: answer.body,
                    asked_at,
                });
            }
            Ok(answer) if is_busy(answer.status) => {
                let retry_after = retry_after(&answer);
                let busy = ServerError::Busy {
                    server: client.server(),
                    what: wanted.what,
                    status: answer.status.as_u16(),
                    tries,
                    retry_after,
                };
                (busy, retry_after)
            }
            Ok(answer) => return Err(refusal(client, wanted, &answer)),
            Err(source) => {
                let passes = is_passing(&source);
                let error = ServerError::Talk {
                    what: wanted.what,
                    source: Box::new(source),
                };
                if !passes {
                    return Err(error);
                }
                (error, None)
            }
        };
        let pause = pauses.next().max(retry_after.unwrap_or_default());
        if tries == TRIES || pause > LONGEST_PAUSE || Instant::now() + pause >= until {
            return Err(error);
        }
        sleep(pause).await;
    }
}

fn refusal(client: &Client, wanted: Wanted<'_>, answer: &Answer) -> ServerError {
    let (server, what) = (client.server(), wanted.what);
    match answer.status.as_u16() {
        400 => ServerError::BadRequest {
            server,
            what,
            words: answer::words(&answer.body),
        },
        status @ (401 | 403 | 405 | 412) => ServerError::Refused {
            server,
            what,
            status,
            words: answer::words(&answer.body),
        },
        404 => ServerError::NoAccount {
            server,
            account: wanted.account.to_owned(),
        },
        status => ServerError::Status { server, what, status },
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The server may be back in a moment. A server that took its whole time is not asked again: that is the cache's to decide.
fn is_passing(error: &MetadataError) -> bool {
    matches!(
        error,
        MetadataError::Connect { .. } | MetadataError::Http { .. } | MetadataError::Body { .. }
    )
}

/// In seconds (RFC 9110, 10.2.3); as a date it is not followed.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer
        .headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
