//! An identity read from a directory.
