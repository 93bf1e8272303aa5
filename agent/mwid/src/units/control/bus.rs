//! Unit control over D-Bus, as `org.freedesktop.systemd1` documents it.
//!
//! In: a unit's name. Out: the checked result. A connection lives as long as one request: an idle daemon is not woken by
//! the bus. Never authorises interactively; polkit decides by rule.

use super::{BusCause, UnitControl, UnitError};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, DynamicType, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const ROOT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// As long as systemd itself gives a unit by default.
const RELOAD_LIMIT: Duration = Duration::from_secs(90);
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);

/// The service manager behind the system bus.
#[derive(Debug, Default)]
pub(crate) struct SystemBus {
    /// Another bus, for tests.
    address: Option<String>,
}

/// One request's connection.
struct Session {
    bus: Connection,
}

/// What must be known about a unit before anything is asked of it.
struct Unit {
    path: OwnedObjectPath,
    /// systemd's own name on the bus: anybody may send a signal that looks like one of systemd's.
    manager: Option<OwnedUniqueName>,
}

impl SystemBus {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn at(address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
        }
    }

    async fn connect(&self) -> Result<Session, UnitError> {
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        let bus = builder.build().await.map_err(bus_error)?;
        Ok(Session { bus })
    }

    async fn reload_unit(&self, unit: &str) -> Result<(), UnitError> {
        let session = self.connect().await?;
        let found = session.running(unit, "reload").await?;
        if session.property::<bool>(&found, unit, "CanReload").await? == Some(false) {
            return Err(UnitError::CannotReload {
                unit: unit.to_owned(),
            });
        }
        let mut ended = session.job_ends(&found).await?;
        let reply = session
            .manager("ReloadUnit", &(unit, "replace"))
            .await
            .map_err(|e| refusal(unit, "reload", e))?;
        let job: OwnedObjectPath = body(&reply)?;
        while let Some(message) = ended.next().await {
            let message = message.map_err(bus_error)?;
            let (_, path, _, result): (u32, OwnedObjectPath, String, String) = body(&message)?;
            if path != job {
                continue;
            }
            return match result.as_str() {
                "done" => Ok(()),
                _ => Err(UnitError::JobFailed {
                    unit: unit.to_owned(),
                    result,
                }),
            };
        }
        Err(bus_error(zbus::Error::InvalidReply)) // the bus has closed the connection
    }

    async fn signal_unit(&self, unit: &str, signal: i32) -> Result<(), UnitError> {
        let session = self.connect().await?;
        session.running(unit, "signal").await?;
        session
            .manager("KillUnit", &(unit, "main", signal))
            .await
            .map_err(|e| refusal(unit, "signal", e))?;
        Ok(())
    }
}

impl UnitControl for SystemBus {
    fn reload<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<(), UnitError>> {
        Box::pin(within(RELOAD_LIMIT, unit, "reload", self.reload_unit(unit)))
    }

    fn signal<'a>(&'a self, unit: &'a str, signal: i32) -> BoxFuture<'a, Result<(), UnitError>> {
        Box::pin(within(
            SIGNAL_LIMIT,
            unit,
            "signal",
            self.signal_unit(unit, signal),
        ))
    }
}

async fn within(
    limit: Duration,
    unit: &str,
    action: &'static str,
    work: impl Future<Output = Result<(), UnitError>>,
) -> Result<(), UnitError> {
    let late = |_| UnitError::Timeout {
        unit: unit.to_owned(),
        action,
        limit,
    };
    tokio::time::timeout(limit, work)
        .await
        .map_err(late)
        .and_then(|result| result)
}

impl Session {
    async fn manager<B>(&self, method: &str, arguments: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        self.bus
            .call_method(Some(SYSTEMD), ROOT, Some(MANAGER), method, arguments)
            .await
    }

    /// The unit, if it is loaded and running (or about to be).
    async fn running(&self, unit: &str, action: &'static str) -> Result<Unit, UnitError> {
        let reply = self
            .manager("LoadUnit", &(unit,))
            .await
            .map_err(|e| refusal(unit, action, e))?;
        let found = Unit {
            manager: reply.header().sender().map(|name| name.to_owned().into()),
            path: body(&reply)?,
        };
        let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        let state = text(self.property(&found, unit, "LoadState").await?);
        let unit = unit.to_owned();
        if state != "loaded" {
            return Err(UnitError::NotLoaded { unit, state });
        }
        let state = text(self.property(&found, &unit, "ActiveState").await?);
        match state.as_str() {
            "active" | "reloading" | "activating" => Ok(found),
            "failed" => Err(UnitError::InFailedState { unit }),
            _ => Err(UnitError::NotRunning { unit, state }),
        }
    }

    /// `None` for a property of another type than expected.
    async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        found: &Unit,
        unit: &str,
        name: &str,
    ) -> Result<Option<T>, UnitError> {
        let path = found.path.as_str();
        let reply = self
            .bus
            .call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &(UNIT, name))
            .await
            .map_err(|e| refusal(unit, "look at", e))?;
        let value: OwnedVariant = body(&reply)?;
        Ok(T::try_from(value).ok())
    }

    /// The ends of jobs, from now on: listening begins before the job, so that a quick one is not missed.
    async fn job_ends(&self, found: &Unit) -> Result<MessageStream, UnitError> {
        let mut rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(MANAGER)
            .member("JobRemoved");
        if let Some(manager) = &found.manager {
            rule = rule.sender(manager.as_str());
        }
        let rule = rule.build().map_err(bus_error)?;
        let stream = MessageStream::for_match_rule(rule, &self.bus, None)
            .await
            .map_err(bus_error)?;
        self.manager("Subscribe", &()).await.map_err(bus_error)?;
        Ok(stream)
    }
}

fn bus_error(error: zbus::Error) -> UnitError {
    UnitError::Bus {
        source: BusCause(Box::new(error)),
    }
}

fn body<T>(message: &Message) -> Result<T, UnitError>
where
    T: serde::de::DeserializeOwned + zbus::Type,
{
    message.body().deserialize().map_err(bus_error)
}

/// systemd's and polkit's answers, in our words.
fn refusal(unit: &str, action: &'static str, error: zbus::Error) -> UnitError {
    use zbus::fdo;
    let unit = unit.to_owned();
    match &error {
        zbus::Error::FDO(known) => match **known {
            fdo::Error::AccessDenied(_) | fdo::Error::InteractiveAuthorizationRequired(_) => {
                UnitError::Denied { unit, action }
            }
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => bus_error(error),
            _ => UnitError::Call {
                unit,
                action,
                source: BusCause(Box::new(error)),
            },
        },
        zbus::Error::MethodError(name, _, _) => match name.as_str() {
            "org.freedesktop.systemd1.NoSuchUnit" => UnitError::NotLoaded {
                unit,
                state: "not-found".to_owned(),
            },
            "org.freedesktop.systemd1.JobTypeNotApplicable" => UnitError::CannotReload { unit },
            _ => UnitError::Call {
                unit,
                action,
                source: BusCause(Box::new(error)),
            },
        },
        _ => bus_error(error),
    }
}
