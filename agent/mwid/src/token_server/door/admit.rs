//! Who gets in. In: the head of a request. Out: what it asks for, or a refusal. Never looks at a body.
use super::Connection;
use crate::caller::{Denial, Grant, What};
use crate::http::reply::Reply;
use crate::report::Causes;
use crate::token_server::guest::Guest;
use crate::token_server::metrics::Kind;
use crate::token_server::refusal::Refused;
use crate::token_server::seldom::clean;
use crate::token_server::target::Target;
use crate::token_server::{host, refusal, words};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use std::sync::Arc;
use std::time::Duration;

/// Who sends no Host is no browser; where a redirect needs one, it gets this.
const USUAL_HOST: &str = "metadata.google.internal";

static FLAVOR: HeaderName = words::FLAVOR;
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the headers say that the door looks at, found in one pass.
#[derive(Default)]
pub(super) struct Told<'a> {
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) hosts: usize,
    pub(super) forwarded: bool,
    flavor: Option<&'a HeaderValue>,
}

impl<'a> Told<'a> {
    pub(super) fn by(headers: &'a HeaderMap) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            // Names of the standard are compared by number, not by text.
            if *name == HOST {
                told.host.get_or_insert(value);
                told.hosts += 1;
            } else if *name == FLAVOR {
                told.flavor.get_or_insert(value);
            } else if *name == FORWARDED_FOR {
                told.forwarded = true;
            }
        }
        told
    }

    pub(super) fn is_flavored(&self) -> bool {
        self.flavor.is_some_and(|flavor| flavor.as_bytes() == b"Google")
    }
}

/// To a caller whom nobody can tell from others. Where that may be otherwise in a moment, it is on another connection only.
fn unattested(denial: &Denial) -> Reply {
    let why = Causes(denial).to_string();
    if !denial.may_pass() {
        return words::refused(StatusCode::FORBIDDEN, &why);
    }
    let mut reply = words::unavailable(&why, Duration::from_secs(1));
    reply
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// A request that was let in.
pub(super) struct Admitted<'a> {
    pub(super) target: Target<'a>,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) grant: Arc<Grant>,
}

impl Admitted<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self.target {
            Target::Root => Kind::Root,
            Target::Token(_) => Kind::Token,
            Target::Identity(_) => Kind::Identity,
            Target::Accounts | Target::Account(_) | Target::Leaf(..) => Kind::Account,
            _ => Kind::Metadata,
        }
    }
}

impl<G: Guest> Connection<G> {
    pub(super) fn admit<'a, B>(&self, head: &'a Request<B>) -> Result<Admitted<'a>, Refused> {
        let path = head.uri().path();
        let told = Told::by(head.headers());
        let host = self.host(head, &told)?;
        if told.forwarded {
            self.guest
                .denied(What::Disguised, "it has the header X-Forwarded-For");
            return Err(refusal::forwarded(path).into());
        }
        let grant = self.guest.grant().map_err(|denial| unattested(&denial))?;
        let target = Target::find(path);
        if target != Some(Target::Root) && !told.is_flavored() {
            return Err(refusal::no_flavor(path).into());
        }
        let target = target.ok_or_else(|| words::not_found(path))?;
        let takes_post = matches!(target, Target::Token(_) | Target::Identity(_));
        match *head.method() {
            Method::GET | Method::HEAD => {}
            Method::POST if takes_post => {}
            _ if takes_post => return Err(refusal::wrong_method("GET, HEAD, POST").into()),
            _ => return Err(refusal::wrong_method("GET, HEAD").into()),
        }
        Ok(Admitted {
            target,
            method: head.method(),
            path,
            query: head.uri().query().unwrap_or_default(),
            host,
            headers: head.headers(),
            grant,
        })
    }

    /// What the request calls us, if that can be us.
    fn host<'a, B>(&self, head: &'a Request<B>, told: &Told<'a>) -> Result<&'a str, Refused> {
        // RFC 9112, 3.2.
        if told.hosts > 1 || (told.hosts == 0 && head.version() == Version::HTTP_11) {
            return Err(refusal::no_host().into());
        }
        let in_target = head.uri().authority().map(hyper::http::uri::Authority::as_str);
        let told = told
            .host
            .map(|told| told.to_str().map_err(|_| told.as_bytes()))
            .transpose();
        let foreign = match (&told, in_target) {
            (Err(bytes), _) => Some(*bytes),
            (Ok(Some(told)), _) if !host::is_ours(told) => Some(told.as_bytes()),
            (_, Some(in_target)) if !host::is_ours(in_target) => Some(in_target.as_bytes()),
            _ => None,
        };
        if let Some(foreign) = foreign {
            self.guest
                .denied(What::Disguised, "it is for a foreign Host, as by DNS rebinding");
            self.tell_host(foreign);
            return Err(refusal::foreign_host(head.uri().path()).into());
        }
        Ok(in_target.or(told.unwrap_or_default()).unwrap_or(USUAL_HOST))
    }

    /// The record does not tell it, for each would be another line.
    fn tell_host(&self, host: &[u8]) {
        if let Some(left_out) = self.log.say() {
            tracing::warn!(listener = self.listener, host = %clean(host), left_out,
                "a request for a foreign Host was refused, as a web page makes them by DNS rebinding");
        }
    }
}
