//! The messages on the wire, each field with the number that its standard gives it, and the names of the methods. Written here and not shared
//! with any implementation: a slip in an implementation's messages must show.
pub mod descriptor;
pub mod fields;
pub mod reflection;
pub mod sds;
pub mod workload;
