//! Receivers that do harm, name servers that lie, and listeners that nobody may reach: scripts over raw sockets on
//! loopback.
//!
//! [`beasts`] lists every behaviour with what a sender must make of it; [`Beast::start`] runs one. [`Receiver::start`]
//! runs any [`Behaviour`], [`NameServer`] answers DNS questions as it was told, [`Trap`] counts connections that
//! should not be.
//!
//! ```no_run
//! # async fn visit() -> std::io::Result<()> {
//! let authority = zoo::Authority::new();
//! for beast in zoo::beasts() {
//!     let receiver = beast.start(&authority).await?;
//!     println!("{} is at {}", beast.name, receiver.url("/hook"));
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod beasts;
mod behaviour;
mod bomb;
mod certificates;
mod closed;
mod name_server;
mod receiver;
mod script;
mod table;
mod trap;

pub use beasts::{Beast, Ends, Expected, Tls, overload, redirect};
pub use behaviour::Behaviour;
pub use bomb::gzip_bomb;
pub use certificates::{Authority, Flaw};
pub use closed::ClosedPort;
pub use name_server::{NameServer, Says};
pub use receiver::{Received, Receiver, header};
pub use table::beasts;
pub use trap::Trap;
