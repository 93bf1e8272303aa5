//! Bundles read and written.
