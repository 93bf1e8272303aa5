//! The wiring: makes every room, hands each what it needs, and alone knows them all.
pub(crate) mod harden;
mod lock;
