//! systemd: notifications to it, sockets from it, and control of other units.
//!
//! In: the environment that systemd gave, calls from rooms above. Out: messages and D-Bus calls. Outside systemd
//! notifications and sockets are simply absent. Never keeps a bus connection that nobody uses.

pub(crate) mod control;
pub(crate) mod listen;
pub(crate) mod notify;
