//! HTTP over local sockets: a bounded server loop and a small client.
