//! What tests of the whole are made of.

pub mod answer;
pub mod app;
pub mod clock;
pub mod collector;
pub mod events;
pub mod mail_server;
pub mod operating;
pub mod place;
#[path = "../../../../bellhop-webhook/tests/support/python.rs"]
pub mod python;
pub mod random;
pub mod receiver;
pub mod sending;
pub mod server;
pub mod tls;
