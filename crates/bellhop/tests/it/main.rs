//! The integration tests of the server, in one binary.

mod api;
mod cli;
mod crash;
mod delivery;
mod store;
mod support;
mod tidy;
