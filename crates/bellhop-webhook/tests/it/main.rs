//! Tests of the crate as a receiver and as the server use it.

mod explain;
mod golden;
mod hostile;
mod http_signature;
mod interop;
mod roundtrip;
mod texts;
mod vectors;
