//! Watches streams over a rotation.
use crate::checks::Finding;
use crate::messages::sds::{DeltaResponse, Secret};
use crate::messages::workload::{Empty, FETCH_X509_SVID, X509SvidResponse};
use crate::options::Rotation;
use crate::seen::{Delta, Sds, Server};
use crate::wire::{Ask, Call, Event, Trouble};
use prost::Message;
use std::time::{Duration, Instant};

/// What an open stream got.
#[derive(Clone, Debug)]
pub enum Push<T> {
    /// There is no such stream.
    Absent(String),
    /// Nothing came.
    Missed(String),
    /// An update came.
    Came {
        /// What the stream had said before.
        before: T,
        /// What it says now.
        now: T,
        /// How long after the rotation was asked for.
        after: Duration,
    },
}

/// Version and nonce.
#[derive(Clone, Debug, Default)]
pub struct Tag {
    /// Of the response, or of the resource.
    pub version: String,
    /// Of the response.
    pub nonce: String,
    content: Vec<u8>,
}

/// What all of them got.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// FetchX509SVID.
    pub x509: Push<X509SvidResponse>,
    /// FetchX509SVID on another connection.
    pub elsewhere: Push<X509SvidResponse>,
    /// StreamSecrets.
    pub sds: Push<Tag>,
    /// DeltaSecrets.
    pub delta: Push<Tag>,
}

impl Rotated {
    /// Opens the streams, rotates, waits.
    pub async fn watch(server: &Server) -> Self {
        let wait = server.options.times.rotation;
        let (x509, elsewhere) = tokio::join!(open_x509(server, false), open_x509(server, true));
        let (sds, delta) = tokio::join!(open_sds(server), open_delta(server));
        let began = Instant::now();
        if let Err(why) = rotate(&server.options.rotation).await {
            let missed = || Push::Absent(format!("the rotation failed: {why}"));
            return Self {
                x509: missed(),
                elsewhere: missed(),
                sds: Push::Absent(why.to_string()),
                delta: Push::Absent(why.to_string()),
            };
        }
        let (x509, elsewhere, sds, delta) = tokio::join!(
            update(x509, began, wait, next_x509, |old, new| leaves(old)
                != leaves(new)),
            update(elsewhere, began, wait, next_x509, |old, new| leaves(old)
                != leaves(new)),
            update(sds, began, wait, next_sds, |old, new| old.content != new.content),
            update(delta, began, wait, next_delta, |old, new| old.content
                != new.content),
        );
        Self {
            x509,
            elsewhere,
            sds,
            delta,
        }
    }
}

async fn rotate(how: &Rotation) -> std::io::Result<()> {
    match how {
        Rotation::NoWay | Rotation::Await => Ok(()),
        Rotation::Call(call) => {
            call();
            Ok(())
        }
        Rotation::Command(command) => {
            let status = tokio::process::Command::new("sh")
                .arg("-c")
                .arg(command)
                .status()
                .await?;
            if status.success() {
                Ok(())
            } else {
                Err(std::io::Error::other(format!("`{command}`: {status}")))
            }
        }
    }
}

/// A stream and what it has said last.
type Opened<S, T> = Result<(S, T), Finding>;

/// Waits until the stream says something else.
async fn update<S, T: Clone>(
    opened: Opened<S, T>,
    began: Instant,
    wait: Duration,
    next: impl AsyncFn(&mut S) -> Result<Option<T>, Finding>,
    differs: impl Fn(&T, &T) -> bool,
) -> Push<T> {
    let (mut stream, before) = match opened {
        Ok(opened) => opened,
        Err(Finding::Skipped(why) | Finding::Fails(why)) => return Push::Absent(why),
    };
    let until = tokio::time::Instant::now() + wait;
    loop {
        match tokio::time::timeout_at(until, next(&mut stream)).await {
            Err(_) => return Push::Missed(format!("nothing new within {wait:?}")),
            Ok(Err(Finding::Skipped(why) | Finding::Fails(why))) => return Push::Missed(why),
            Ok(Ok(Some(now))) if differs(&before, &now) => {
                let after = began.elapsed();
                return Push::Came { before, now, after };
            }
            Ok(Ok(_)) => {}
        }
    }
}

/// The leaves' bytes tell whether anything rotated: an update of a bundle alone does not.
fn leaves(message: &X509SvidResponse) -> Vec<&[u8]> {
    message
        .svids
        .iter()
        .map(|svid| svid.x509_svid.as_slice())
        .collect()
}

async fn open_x509(server: &Server, elsewhere: bool) -> Opened<Call, X509SvidResponse> {
    server.x509.get()?;
    let ask = Ask::one(FETCH_X509_SVID, &Empty {});
    let mut call = if elsewhere {
        let channel = server.another().await?;
        channel
            .call(ask, server.options.times.patience)
            .await?
            .keeping(channel)
    } else {
        server.call(ask).await?
    };
    match call.message::<X509SvidResponse>().await? {
        Ok(message) if message.svids.is_empty() => Err(Finding::Skipped("there is no identity".to_owned())),
        Ok(message) => {
            call.patient(server.options.times.rotation * 2);
            Ok((call, message))
        }
        Err(end) => Err(Finding::Skipped(format!("FetchX509SVID: {end}"))),
    }
}

async fn next_x509(call: &mut Call) -> Result<Option<X509SvidResponse>, Finding> {
    match call.next().await? {
        Event::Message(bytes) => Ok(Some(X509SvidResponse::decode(bytes).map_err(Trouble::Message)?)),
        Event::End(end) => Err(Finding::Fails(format!("the stream ended: {end}"))),
    }
}

/// A stream and the name that is watched on it.
struct Watched<S> {
    stream: S,
    name: String,
}

fn default_name(server: &Server) -> Result<String, Finding> {
    server.secrets.as_ref().map_err(Clone::clone)?;
    match &server.options.sds {
        Some(names) => Ok(names.default.clone()),
        None => Err(Finding::Skipped("SDS is not looked at (--sds)".to_owned())),
    }
}

async fn open_sds(server: &Server) -> Opened<Watched<Sds>, Tag> {
    let name = default_name(server)?;
    let stream = Sds::open(server, &[&name]).await?;
    let mut watched = Watched { stream, name };
    match next_sds(&mut watched).await? {
        Some(tag) => {
            watched.stream.patient(server.options.times.rotation * 2);
            Ok((watched, tag))
        }
        None => Err(Finding::Skipped(
            "the first response has not the certificate".to_owned(),
        )),
    }
}

async fn next_sds(watched: &mut Watched<Sds>) -> Result<Option<Tag>, Finding> {
    let response = watched.stream.next().await?;
    watched.stream.ack(&response);
    for any in &response.resources {
        let secret = Secret::decode(any.value.as_slice()).map_err(Trouble::Message)?;
        if secret.name == watched.name {
            return Ok(Some(Tag {
                version: response.version_info.clone(),
                nonce: response.nonce.clone(),
                content: any.value.clone(),
            }));
        }
    }
    Ok(None)
}

async fn open_delta(server: &Server) -> Opened<Watched<Delta>, Tag> {
    let name = default_name(server)?;
    let stream = Delta::open(server, &[&name]).await?;
    let mut watched = Watched { stream, name };
    match next_delta(&mut watched).await? {
        Some(tag) => {
            watched.stream.patient(server.options.times.rotation * 2);
            Ok((watched, tag))
        }
        None => Err(Finding::Skipped(
            "the first response has not the certificate".to_owned(),
        )),
    }
}

async fn next_delta(watched: &mut Watched<Delta>) -> Result<Option<Tag>, Finding> {
    let response: DeltaResponse = watched.stream.next().await?;
    watched.stream.answer(&response, false);
    let found = response.resources.iter().find(|r| r.name == watched.name);
    Ok(found.map(|resource| Tag {
        version: resource.version.clone(),
        nonce: response.nonce.clone(),
        content: resource.resource.clone().unwrap_or_default().value,
    }))
}
