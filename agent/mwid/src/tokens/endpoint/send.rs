//! Sends a question, and again when its failure passes by itself. In: what to ask. Out: the answer, whatever its status, or the last
//! failure. Never asks longer than a caller would wait, and never again what was refused.
use crate::backoff::Backoff;
use crate::http::web::{Answer, Call, Client, Url, WebError};
use hyper::StatusCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(1);
const TRIES: u32 = 3;

/// No further try begins after this; the cache has a back-off of its own.
const BEGUN_WITHIN: Duration = Duration::from_secs(5);

/// `call` makes the question anew for each try: a body is wiped once it was sent.
pub(super) async fn send<'a>(
    web: &Client,
    url: &'a Url,
    call: impl Fn(&'a Url) -> Call<'a>,
) -> Result<Answer, WebError> {
    let began = Instant::now();
    let mut backoff = Backoff::new(FIRST, MOST);
    let mut tries = 1;
    loop {
        let done = web.send(call(url)).await;
        let passes = match &done {
            Ok(answer) => is_passing(answer.status),
            Err(error) => error.is_passing(),
        };
        if !passes || tries == TRIES || began.elapsed() > BEGUN_WITHIN {
            return done;
        }
        tries += 1;
        sleep(backoff.next()).await;
    }
}

/// Those of a server that is busy for a moment. Not 429: that one wants fewer questions.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
