//! The integration tests of the server, in one binary.

mod api;
mod cli;
mod crash;
mod delivery;
mod readme;
mod store;
mod support;
mod tidy;
