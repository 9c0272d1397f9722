//! The integration tests of the server, in one binary.

mod api;
mod canary;
mod cli;
mod crash;
mod delivery;
mod delivery_clock;
mod deploy;
mod erasure;
mod health;
mod hostile;
mod isolation;
mod operational;
mod policies;
mod readme;
mod redirects;
mod replays;
mod replicas;
mod replicas_keys;
mod retention;
mod runs_killed;
mod secret_rotation;
mod signatures;
mod store;
mod support;
mod tidy;
