//! `mwid status`. In: the daemon's `/status`. Out: text for people, or the JSON as it came. Exit code 0 when ready, 1 when not.
mod render;
#[cfg(test)]
mod tests;

use super::words::Paint;
use super::{Exit, Failure, admin, args, daemon, output};
use crate::health::status::Status;
use crate::http::client::Answered;
use crate::report::Causes;
use hyper::Method;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(args: &args::StatusArgs) -> Result<(), Failure> {
    let socket = daemon::admin_socket(&args.at)?;
    admin::talk(async {
        if args.watch {
            watch(&socket, args.json).await
        } else {
            once(&socket, args.json).await
        }
    })
}

async fn fetch(socket: &Path) -> Result<(Answered, Status), Failure> {
    let answered = admin::question(socket, Method::GET, "/status", "application/json").await?;
    let status = admin::read(&answered)?;
    Ok((answered, status))
}

async fn once(socket: &Path, json: bool) -> Result<(), Failure> {
    let (answered, status) = fetch(socket).await?;
    output::data(&show(&answered, &status, json))?;
    if status.ready {
        Ok(())
    } else {
        Err(Failure::new(Exit::Findings, "the daemon is not ready"))
    }
}

fn show(answered: &Answered, status: &Status, json: bool) -> String {
    if json {
        String::from_utf8_lossy(&answered.body).into_owned()
    } else {
        render::text(status, Paint(output::colour()))
    }
}

/// Until interrupted, or until nobody reads any more. A daemon that goes away is shown as gone, and shown again when it is back.
async fn watch(socket: &Path, json: bool) -> Result<(), Failure> {
    let redraw = !json && std::io::stdout().is_terminal();
    let mut shown = None;
    loop {
        let (key, text) = match fetch(socket).await {
            Ok((answered, status)) => (key(&status, redraw), show(&answered, &status, json)),
            // Standard output is data; in JSON there is no word for this.
            Err(failure) if json => (Causes(&failure).to_string(), String::new()),
            Err(failure) => {
                let text = format!("{}\n", Causes(&failure));
                (text.clone(), text)
            }
        };
        if shown.as_ref() != Some(&key) {
            // From the top left corner, wiping what is left of the frame before.
            let frame = if redraw {
                format!("\x1b[H\x1b[2J{text}")
            } else {
                text
            };
            if !output::more(&frame)? {
                return Ok(());
            }
            shown = Some(key);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What makes a frame new. On a screen that is drawn again: what people read, with the passing of time. In a stream: anything but
/// the passing of time.
fn key(status: &Status, redraw: bool) -> String {
    if redraw {
        return render::text(status, Paint(false));
    }
    let mut still = status.clone();
    still.now = still.started_at;
    format!("{still:?}")
}
