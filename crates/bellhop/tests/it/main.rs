//! The integration tests of the server, in one binary.

mod api;
mod support;
mod tidy;
