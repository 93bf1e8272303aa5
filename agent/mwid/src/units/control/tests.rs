//! Against a bus of our own with a service manager that answers as systemd does. Skipped where there is no dbus-daemon; the
//! real systemd is asked in a later stage of the gate.

use super::*;
use crate::report::Causes;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MessageStream, ObjectPath, Variant};

/// A private bus; ends with the test.
struct Bus {
    daemon: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }
}

fn bus() -> Option<Bus> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    if !matches!(user, Ok(Some(_))) {
        println!("skipped: dbus-daemon serves no user without an entry in the user database");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>unix:path={}/bus</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/>\
         </policy></busconfig>",
        dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let started = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", config.display()))
        .args(["--nofork", "--print-address"])
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut daemon) = started else {
        println!("skipped: there is no dbus-daemon on this machine");
        return None;
    };
    let mut address = String::new();
    BufReader::new(daemon.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    Some(Bus {
        daemon,
        address: address.trim().to_owned(),
        _dir: dir,
    })
}

/// How the made-up service manager behaves.
#[derive(Clone, Copy)]
struct Behaviour {
    load: &'static str,
    active: &'static str,
    can_reload: bool,
    /// The error that ReloadUnit and KillUnit answer with.
    refuse: Option<&'static str>,
    /// The result of the job.
    result: &'static str,
}

const GOOD: Behaviour = Behaviour {
    load: "loaded",
    active: "active",
    can_reload: true,
    refuse: None,
    result: "done",
};

type Calls = Arc<Mutex<Vec<String>>>;

/// Claims systemd's name and answers until the bus goes.
async fn manager(bus: &Bus, behaviour: Behaviour) -> Calls {
    let connection = Builder::address(bus.address.as_str()).build().await.unwrap();
    let mut stream = MessageStream::from(connection.clone());
    connection.request_name("org.freedesktop.systemd1").await.unwrap();
    let calls = Calls::default();
    let log = calls.clone();
    tokio::spawn(async move {
        use futures_util::StreamExt as _;
        while let Some(Ok(message)) = stream.next().await {
            if message.message_type() == Type::MethodCall {
                answer(&connection, &message, behaviour, &log).await;
            }
        }
    });
    calls
}

async fn answer(connection: &Connection, message: &zbus::Message, behaviour: Behaviour, log: &Calls) {
    let header = message.header();
    let member = header.member().unwrap().as_str().to_owned();
    let path = |text: &'static str| ObjectPath::try_from(text).unwrap();
    match member.as_str() {
        "LoadUnit" => connection.reply(&header, &path("/unit/u")).await.unwrap(),
        "Subscribe" => connection.reply(&header, &()).await.unwrap(),
        "Get" => {
            let (_, name): (String, String) = message.body().deserialize().unwrap();
            let value = match name.as_str() {
                "LoadState" => Variant::from(behaviour.load),
                "ActiveState" => Variant::from(behaviour.active),
                "CanReload" => Variant::from(behaviour.can_reload),
                other => panic!("unexpected property {other}"),
            };
            connection.reply(&header, &value).await.unwrap();
        }
        "ReloadUnit" | "KillUnit" => {
            log.lock().unwrap().push(format!("{member} {:?}", message.body()));
            if let Some(name) = behaviour.refuse {
                connection.reply_error(&header, name, &"no").await.unwrap();
                return;
            }
            if member == "KillUnit" {
                let (unit, who, signal): (String, String, i32) = message.body().deserialize().unwrap();
                log.lock().unwrap().push(format!("{unit} {who} {signal}"));
                return connection.reply(&header, &()).await.unwrap();
            }
            let signal = |job: &'static str, result: &'static str| {
                let body = (1_u32, path(job), "u.service", result);
                let to = Option::<&str>::None;
                async move {
                    let (root, manager) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
                    connection
                        .emit_signal(to, root, manager, "JobRemoved", &body)
                        .await
                        .unwrap();
                }
            };
            // Another job's end first, and our own job's end even before the reply: both happen.
            signal("/job/other", "failed").await;
            signal("/job/ours", behaviour.result).await;
            connection.reply(&header, &path("/job/ours")).await.unwrap();
        }
        other => panic!("unexpected call {other}"),
    }
}

async fn reload(behaviour: Behaviour) -> Option<Result<(), UnitError>> {
    let bus = bus()?;
    manager(&bus, behaviour).await;
    Some(SystemBus::at(&bus.address).reload("nginx.service").await)
}

#[tokio::test]
async fn a_reload_is_over_when_its_own_job_is_done() {
    let Some(result) = reload(GOOD).await else { return };
    result.unwrap();
}

/// Who is bent how, and what the error must say.
fn ways_to_fail() -> Vec<(Behaviour, &'static str)> {
    let refused = |name| Behaviour {
        refuse: Some(name),
        ..GOOD
    };
    let loaded = |load| Behaviour { load, ..GOOD };
    let active = |active| Behaviour { active, ..GOOD };
    let no_reload = Behaviour {
        can_reload: false,
        ..GOOD
    };
    let failed_job = Behaviour {
        result: "failed",
        ..GOOD
    };
    vec![
        (
            loaded("not-found"),
            "systemd does not know the unit nginx.service",
        ),
        (loaded("masked"), "load state `masked`"),
        (active("inactive"), "not running"),
        (active("failed"), "has failed"),
        (no_reload, "no ExecReload="),
        (failed_job, "ended with `failed`"),
        (
            refused("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"),
            "install a polkit rule",
        ),
        (
            refused("org.freedesktop.systemd1.TransactionIsDestructive"),
            "systemd refused to reload nginx.service: org.freedesktop.systemd1.TransactionIsDestructive: no",
        ),
    ]
}

#[tokio::test]
async fn each_way_to_fail_is_told_apart() {
    for (behaviour, words) in ways_to_fail() {
        let Some(result) = reload(behaviour).await else {
            return;
        };
        let text = Causes(&result.unwrap_err()).to_string();
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

#[tokio::test]
async fn a_signal_goes_to_the_main_process_of_a_running_unit() {
    let Some(bus) = bus() else { return };
    let calls = manager(&bus, GOOD).await;
    let control = SystemBus::at(&bus.address);
    control.signal("haproxy.service", 12).await.unwrap();
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.last().map(String::as_str), Some("haproxy.service main 12"));
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_said_so() {
    let error = SystemBus::at("unix:path=/nowhere/bus")
        .reload("nginx.service")
        .await
        .unwrap_err();
    assert!(matches!(error, UnitError::Bus { .. }), "{error}");
    let told = Causes(&error).to_string();
    assert_eq!(told.matches("No such file").count(), 1, "{told}");
}

#[tokio::test]
async fn a_manager_that_is_not_on_the_bus_is_said_so() {
    let Some(bus) = bus() else { return };
    let result = SystemBus::at(&bus.address).signal("nginx.service", 1).await;
    assert!(matches!(result, Err(UnitError::Bus { .. })), "{result:?}");
}
