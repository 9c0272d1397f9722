//! The fault battery: it runs a real server, breaks it, and judges what arrived.
//!
//! The judge ([`checker`]) reads two logs only: the producer's (what was acknowledged, and when a fault
//! was made) and the receivers' (what arrived). It shares no code with the server, so that no mistake
//! can hide in both.
#![forbid(unsafe_code)]

pub mod battery;
pub mod checker;
mod clock;
mod cluster;
mod http;
pub mod log;
mod parts;
mod platform;
mod producer;
mod proxy;
mod random;
mod receiver;
pub mod report;
mod server;
mod stage;
