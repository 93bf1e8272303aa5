//! Scenarios: the real binary, as its operator and its users meet it. Each test's name is the sentence that it holds.

mod daemon;
mod identity;
mod operator;
mod reactions;
mod secrets;
