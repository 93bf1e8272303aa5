//! Calls of real HTTP/2 clients; clients that are slow, large, many or gone.
mod hostile;
mod kit;
mod refusals;
mod streams;

use super::*;
use kit::*;
