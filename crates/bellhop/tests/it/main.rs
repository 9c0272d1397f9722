//! The integration tests of the server, in one binary.

mod api;
mod delivery;
mod support;
mod tidy;
