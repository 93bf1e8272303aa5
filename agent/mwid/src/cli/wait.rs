//! `mwid wait`. In: a time limit. Out: nothing once the daemon is ready; exit code 75 with the reasons when it is not in time.
use super::{Exit, Failure, admin, args, daemon};
use crate::backoff::Backoff;
use crate::http::client::ClientError;
use crate::report::Causes;
use hyper::{Method, StatusCode};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Soon after the start things happen quickly; later ten looks a second cost nothing.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// For one answer. A daemon that hangs is not ready.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) fn run(args: &args::WaitArgs) -> Result<(), Failure> {
    let socket = daemon::admin_socket(&args.at)?;
    admin::talk(wait(&socket, args.timeout))
}

async fn wait(socket: &Path, limit: Duration) -> Result<(), Failure> {
    let until = Instant::now() + limit;
    let mut pause = Backoff::new(LOOKS.0, LOOKS.1);
    let mut reasons = "it did not answer".to_owned();
    loop {
        match timeout_at(until, look(socket)).await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(why))) => reasons = why,
            Ok(Err(failure)) => return Err(failure),
            Err(_elapsed) => break,
        }
        if timeout_at(until, sleep(pause.next())).await.is_err() {
            break;
        }
    }
    let within = humantime::format_duration(limit);
    Err(Failure::new(
        Exit::TryAgain,
        format!("the daemon is not ready after {within}:\n{reasons}"),
    ))
}

/// None when ready, else why not. A failure is what waiting does not heal.
async fn look(socket: &Path) -> Result<Option<String>, Failure> {
    let accept = "text/plain";
    match admin::try_question(socket, Method::GET, "/readyz", accept, ANSWER).await {
        Ok(answered) if answered.status == StatusCode::OK => Ok(None),
        Ok(answered) if answered.status == StatusCode::FORBIDDEN => {
            Err(Failure::new(Exit::Permission, admin::text(&answered)))
        }
        Ok(answered) => Ok(Some(admin::text(&answered))),
        Err(error @ (ClientError::Denied { .. } | ClientError::Path { .. })) => Err(admin::no_answer(error)),
        Err(error) => Ok(Some(Causes(&error).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    /// Answers one request with these bytes.
    async fn answer(listener: &UnixListener, bytes: &str) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
        }
        assert!(asked.starts_with(b"GET /readyz "));
        stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    const NOT_READY: &str = "HTTP/1.1 503 x\r\ncontent-length: 13\r\n\r\nsource: gone\n";
    const READY: &str = "HTTP/1.1 200 x\r\ncontent-length: 6\r\n\r\nready\n";

    #[tokio::test]
    async fn it_waits_for_the_socket_and_then_for_readiness() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let daemon = async {
            // The first looks find nothing.
            tokio::task::yield_now().await;
            let listener = UnixListener::bind(&socket).unwrap();
            answer(&listener, NOT_READY).await;
            answer(&listener, NOT_READY).await;
            answer(&listener, READY).await;
        };
        let (waited, ()) = tokio::join!(wait(&socket, Duration::from_secs(60)), daemon);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_time_with_the_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let began = Instant::now();
        let failure = wait(&socket, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::TryAgain);
        assert_eq!(began.elapsed().as_millis(), 3_000);
        assert!(failure.to_string().contains("there is no socket"), "{failure}");

        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = async {
            loop {
                answer(&listener, NOT_READY).await;
            }
        };
        let failure = tokio::select! {
            waited = wait(&socket, Duration::from_secs(3)) => waited.unwrap_err(),
            () = daemon => unreachable!("the daemon of this test runs for ever"),
        };
        assert_eq!(
            failure.to_string(),
            "the daemon is not ready after 3s:\nsource: gone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_hangs_is_not_waited_for_longer_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let began = Instant::now();
        let failure = wait(&socket, Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(
            (began.elapsed().as_millis(), failure.exit()),
            (3_000, Exit::TryAgain)
        );
    }
}
