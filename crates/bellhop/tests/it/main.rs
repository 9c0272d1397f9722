//! The integration tests of the server, in one binary.

mod api;
mod delivery;
mod cli;
mod store;
mod support;
mod tidy;
