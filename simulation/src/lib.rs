//! R12 of the fault battery: deterministic simulation.
//!
//! The real lifecycle, embedded store, dispatcher, attempts and sender run on one thread, in simulated time, over a
//! simulated network, against simulated receivers. Everything random comes from a seed: commands, what receivers
//! answer, when the process dies, when the store fails, when the clock jumps. What was acknowledged and what arrived is
//! judged by the battery's own checker.
//!
//! Why not `turmoil`: it moves time on in steps of fixed length, so that the minutes and hours of a retry schedule cost
//! millions of steps. Tokio's paused clock jumps to the next moment at which something happens. What else it offers
//! (several hosts, partitions between them) one server with its receivers has no use for. Connections are pairs of
//! buffers, handed to the sender's connector through `bellhop::delivery::egress::Dial`.
//!
//! What makes a seed repeat a run: one thread; the store asked synchronously (its writer answers on a thread of its own,
//! and simulated time stands still meanwhile); `select!` in a fixed order and sets in a repeatable order where the
//! dispatcher has them; random numbers and the time of day as parameters.
#![forbid(unsafe_code)]

mod clock;
mod network;
mod operator;
mod plant;
mod process;
mod random;
mod receiver;
pub mod seeds;
mod store;
mod trouble;
mod weather;
mod world;

pub use plant::Plant;
pub use world::{Outcome, run, run_planted};
